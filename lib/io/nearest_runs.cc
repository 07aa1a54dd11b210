// Ladder: (1) one run, one item, one scale at a time (tests/unit/io/quantise_test.cc). (2) shipped: runs in the lanes of vectors, each in its own order of items, so
// that nothing is added up in another order; a division for each scale that is tried, 14 of them for int4, is the bound.
#include "io/nearest_runs.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace uio {
namespace {

constexpr double kRounder = 0x1.8p52;  // added and taken away, it leaves a whole number, halves to the even one

// The scales that are tried, ascending; 0 behind the last of a run, which comes near nothing.
struct Tried {
  double scales[kTried][kSideBySide] = {};
  int exponents[kTried][kSideBySide], steps[kTried][kSideBySide];
  std::size_t most = 0;
};

// Those of one run whose largest item is not 0.
void add_scales(double largest, const Kind& kind, const Exponents& exponents, std::size_t run, Tried& tried) {
  const double from = kLeastShare * largest / kind.greatest;
  const double to = std::max(2 * largest / kind.greatest, scale_of(kind, exponents.least + 1, 0));
  std::size_t count = 0;
  for (int exponent = std::clamp(std::ilogb(from) + kBias, exponents.least, exponents.greatest); exponent <= exponents.greatest; ++exponent)
    for (int step = 0; step < kind.steps; ++step) {
      const double scale = scale_of(kind, exponent, step);
      if (scale < from) continue;
      if (scale > to || count == kTried) return;
      tried.scales[count][run] = scale;
      tried.exponents[count][run] = exponent, tried.steps[count][run] = step;
      tried.most = std::max(tried.most, ++count);
    }
}

Tried scales_for(const double* largest, const Kind& kind, const Exponents& exponents) {
  Tried tried;
  for (std::size_t run = 0; run < kSideBySide; ++run)
    if (largest[run] > 0) add_scales(largest[run], kind, exponents, run, tried);
  return tried;
}

namespace generic {
#define UIO_RUNS 2
#include "io/nearest_runs_body.h"
}  // namespace generic
#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2")
namespace avx2 {
#define UIO_RUNS 4
#include "io/nearest_runs_body.h"
}  // namespace avx2
#pragma GCC target("avx512f,avx512dq,avx512vl")
namespace avx512 {
#define UIO_RUNS 8
#include "io/nearest_runs_body.h"
}  // namespace avx512
#pragma GCC pop_options
#endif

}  // namespace

double scale_of(const Kind& kind, int exponent, int step) {
  constexpr int kDoubleBias = 1023, kDoubleBits = 52;
  return (1.0 + static_cast<double>(step) / kind.steps) * std::bit_cast<double>(static_cast<std::uint64_t>(exponent - kBias + kDoubleBias) << kDoubleBits);
}

std::span<const FindNearest> nearest_builds() {
  static const auto builds = [] {
    std::array<FindNearest, 3> found{};
    std::size_t count = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) found[count++] = avx512::find_nearest;
    if (__builtin_cpu_supports("avx2")) found[count++] = avx2::find_nearest;
#endif
    found[count++] = generic::find_nearest;
    return std::pair(found, count);
  }();
  return std::span(builds.first).first(builds.second);
}

void find_nearest(Runs& runs, const Kind& kind, const Exponents& exponents) {
  static const FindNearest own = nearest_builds().front();
  own(runs, kind, exponents);
}

}  // namespace uio
