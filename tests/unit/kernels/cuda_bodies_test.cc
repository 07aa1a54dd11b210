// The bodies of the CUDA kernels, run by threads of this machine against plain loops in f64. Torch-free, for the thread
// sanitizer:
//   g++ -std=c++20 -O1 -g -fsanitize=thread -I. -Itests tests/unit/kernels/cuda_bodies_test.cc tests/unit/main.cc -o
//   /tmp/bodies && /tmp/bodies
#include <catch2/catch.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "unit/kernels/thread_launch.h"

namespace uio::kernels {
namespace {

using cuda::Bf16;
using Launch = test::ThreadLaunch;

// Widths that fill packs or do not, one group of threads or several; blocks of 4 to 32 threads.
constexpr std::int64_t kSizes[] = {1, 3, 4, 7, 16, 33, 130, 512, 516, 1301, 2052};

template <typename T>
constexpr double kStep = std::is_same_v<T, float> ? 2e-6 : 0x1p-8;  // of a result, relative

// `count` numbers that begin `shift` numbers after a boundary of 64 bytes; what lies around them is watched.
template <typename T>
class Array {
 public:
  explicit Array(std::int64_t count, std::int64_t shift = 0)
      : count_(count), memory_(static_cast<std::size_t>(count + shift) * sizeof(T) + 256, std::byte{0x5a}) {
    auto at = reinterpret_cast<std::uintptr_t>(memory_.data());
    first_ = reinterpret_cast<T*>((at + 64 + 63) / 64 * 64) + shift;
    std::memset(static_cast<void*>(first_), 0xff, static_cast<std::size_t>(count) * sizeof(T));  // NaN until written
  }
  Array(std::int64_t count, std::int64_t shift, unsigned seed, double scale = 1) : Array(count, shift) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (std::int64_t i = 0; i < count; ++i) first_[i] = cuda::narrow<T>(static_cast<float>(scale) * normal(random));
  }
  T* data() { return first_; }
  double operator[](std::int64_t i) const { return static_cast<double>(cuda::widen(first_[i])); }
  bool is_within_bounds() const {
    for (const std::byte& byte : memory_) {
      const auto at = reinterpret_cast<const std::byte*>(first_);
      if ((&byte < at || &byte >= at + static_cast<std::size_t>(count_) * sizeof(T)) && byte != std::byte{0x5a}) return false;
    }
    return true;
  }

 private:
  std::int64_t count_;
  std::vector<std::byte> memory_;
  T* first_;
};

template <typename T>
constexpr Number kNumber = std::is_same_v<T, float> ? Number::kF32 : Number::kBf16;

// Counts what is off, so that a case of thousands of numbers is one assertion.
struct Off {
  std::int64_t count = 0;
  void add(double found, double expected, double bound) { count += !(std::fabs(found - expected) <= bound); }
};

template <typename Added, typename Out>
void check_rms_norm(std::int64_t rows, std::int64_t n, std::int64_t shift, bool adds) {
  INFO(rows << "x" << n << ", " << shift << " past the boundary, adds " << adds);
  constexpr double kEpsilon = 1e-5;
  Array<float> x(rows * n, shift, 1, 3), weight(n, shift, 2), sum(rows * n, shift), scales(rows);
  Array<Added> added(rows * n, shift, 3);
  Array<Out> out(rows * n, shift);
  const RmsNormJob job{x.data(),       adds ? added.data() : nullptr,
                       kNumber<Added>, adds ? sum.data() : nullptr,
                       weight.data(),  out.data(),
                       kNumber<Out>,   scales.data(),
                       rows,           n,
                       kEpsilon};
  REQUIRE(cuda::rms_norm<Launch>(job) == 0);
  Off off;
  for (std::int64_t row = 0; row < rows; ++row) {
    double squares = 0;
    for (std::int64_t i = row * n; i < (row + 1) * n; ++i) {
      if (adds) off.add(sum[i], static_cast<float>(x[i]) + static_cast<float>(added[i]), 0);
      const double here = adds ? sum[i] : x[i];
      squares += here * here;
    }
    const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + kEpsilon);
    off.add(scales[row], scale, 2e-6 * scale);
    for (std::int64_t i = 0; i < n; ++i) {
      const double expected = (adds ? sum[row * n + i] : x[row * n + i]) * scale * weight[i];
      off.add(out[row * n + i], expected, std::fabs(expected) * kStep<Out>);
    }
  }
  CHECK(off.count == 0);
  CHECK((sum.is_within_bounds() && out.is_within_bounds() && scales.is_within_bounds()));
}

TEST_CASE("a device's rms_norm of rows, and of sums") {
  for (const std::int64_t n : kSizes)
    for (const std::int64_t shift : {0, 1}) {
      check_rms_norm<float, float>(3, n, shift, false);
      check_rms_norm<float, Bf16>(3, n, shift, false);
      check_rms_norm<float, float>(3, n, shift, true);
      check_rms_norm<Bf16, Bf16>(2, n, shift, true);
    }
  check_rms_norm<Bf16, float>(2, 36, 0, true);
  check_rms_norm<Bf16, float>(0, 36, 0, true);
}

TEST_CASE("the gradient of a device's rms_norm") {
  for (const std::int64_t n : kSizes)
    for (const std::int64_t part_rows : {1, 2, 9})
      for (const bool has_more : {false, true}) {
        if (has_more != (part_rows == 2) && n > 130) continue;  // every barrier costs the machine's scheduler
        const std::int64_t rows = 5, parts = (rows + part_rows - 1) / part_rows, shift = part_rows == 9;
        INFO(n << ", " << part_rows << " rows a part");
        Array<float> x(rows * n, shift, 1, 2), weight(n, shift, 2), slope(rows * n, shift, 3), scales(rows),
            more(rows * n, shift, 4);
        Array<float> out(rows * n, shift), sums(parts * n, shift);
        for (std::int64_t row = 0; row < rows; ++row) scales.data()[row] = 0.4f + 0.1f * static_cast<float>(row);
        REQUIRE(cuda::rms_norm_slope<Launch>({x.data(), weight.data(), slope.data(), scales.data(),
                                              has_more ? more.data() : nullptr, out.data(), has_more ? nullptr : sums.data(),
                                              rows, n, part_rows}) == 0);
        Off off;
        std::vector<double> expected_sums(static_cast<std::size_t>(parts * n)), sizes(expected_sums.size());
        for (std::int64_t row = 0; row < rows; ++row) {
          double products = 0, size = 0;
          for (std::int64_t i = 0; i < n; ++i) {
            const double product = slope[row * n + i] * weight[i] * x[row * n + i];
            products += product;
            size += std::fabs(product);
          }
          const double s = scales[row];
          for (std::int64_t i = 0; i < n; ++i) {
            const std::int64_t at = row * n + i;
            const double direct = slope[at] * weight[i] * s, factor = x[at] * s * s * s / static_cast<double>(n),
                         rest = has_more ? more[at] : 0;
            off.add(out[at], direct - factor * products + rest,
                    2e-6 * (std::fabs(direct) + std::fabs(factor) * size + std::fabs(rest)));
            const auto sum = static_cast<std::size_t>(row / part_rows * n + i);
            expected_sums[sum] += slope[at] * x[at] * s;
            sizes[sum] += std::fabs(slope[at] * x[at] * s);
          }
        }
        if (!has_more)
          for (std::size_t i = 0; i < expected_sums.size(); ++i)
            off.add(sums[static_cast<std::int64_t>(i)], expected_sums[i], 2e-6 * sizes[i]);
        CHECK(off.count == 0);
        CHECK((out.is_within_bounds() && sums.is_within_bounds()));
      }
}

template <typename T>
void check_swiglu(std::int64_t count, std::int64_t shift) {
  INFO(count << " numbers, " << shift << " past the boundary");
  Array<T> gate(count, shift, 1, 4), up(count, shift, 2), slope(count, shift, 3), out(count, shift), gate_slope(count, shift),
      up_slope(count, shift);
  if (count > 2) gate.data()[0] = cuda::narrow<T>(-120), gate.data()[1] = cuda::narrow<T>(120);  // beyond what e^x holds in f32
  REQUIRE(cuda::swiglu<Launch>({gate.data(), up.data(), out.data(), count, kNumber<T>}) == 0);
  REQUIRE(cuda::swiglu_slope<Launch>(
              {gate.data(), up.data(), slope.data(), gate_slope.data(), up_slope.data(), count, kNumber<T>}) == 0);
  Off off;
  for (std::int64_t i = 0; i < count; ++i) {
    const double g = gate[i], share = 1 / (1 + std::exp(-g)), silu = g * share, turn = share * (1 + g * (1 - share));
    off.add(out[i], silu * up[i], std::fabs(silu * up[i]) * kStep<T> + 1e-30);
    off.add(up_slope[i], silu * slope[i], std::fabs(silu * slope[i]) * kStep<T> + 1e-30);
    off.add(gate_slope[i], turn * slope[i] * up[i],
            share * (1 + std::fabs(g) * (1 - share)) * std::fabs(slope[i] * up[i]) * kStep<T> + 1e-30);
  }
  CHECK(off.count == 0);
  CHECK((out.is_within_bounds() && gate_slope.is_within_bounds() && up_slope.is_within_bounds()));
  REQUIRE(cuda::swiglu<Launch>({gate.data(), up.data(), gate.data(), count, kNumber<T>}) == 0);
  for (std::int64_t i = 0; i < count; ++i) off.add(gate[i], out[i], 0);
  CHECK(off.count == 0);
}

TEST_CASE("a device's swiglu and its gradient") {
  for (const std::int64_t count : {1, 7, 8, 9, 32, 31 * 8 + 3, 3 * 2048 + 5})
    for (const std::int64_t shift : {0, 1}) {
      check_swiglu<float>(count, shift);
      check_swiglu<Bf16>(count, shift);
    }
  check_swiglu<float>(0, 0);
  check_swiglu<float>(2048 * 32 * 4 + 4 * 77 + 1, 0);  // more than one step of all blocks
}

template <typename T>
void check_rotary(std::int64_t half, bool by_token, std::int64_t shift) {
  INFO(half << " pairs, by token " << by_token << ", " << shift << " past the boundary");
  constexpr std::int64_t kBatch = 2, kHeads = 3, kCount = 5;
  const std::int64_t size = 2 * half, all = kBatch * kHeads * kCount * size;
  Array<T> x(all, shift, 1), out(all, shift);
  Array<float> cosine(kCount * half, 0, 2), sine(kCount * half, 0, 3);
  const std::int64_t of_batch = kHeads * kCount * size;
  RotaryJob job{x.data(),
                out.data(),
                cosine.data(),
                sine.data(),
                kBatch,
                kHeads,
                kCount,
                half,
                {of_batch, kCount * size, size},
                {of_batch, size, kHeads * size},
                kNumber<T>};
  if (by_token) std::swap(job.from_strides, job.to_strides);
  REQUIRE(cuda::rotary<Launch>(job) == 0);
  Off off;
  for (std::int64_t b = 0; b < kBatch; ++b)
    for (std::int64_t h = 0; h < kHeads; ++h)
      for (std::int64_t t = 0; t < kCount; ++t)
        for (std::int64_t j = 0; j < half; ++j) {
          const std::int64_t from = b * job.from_strides[0] + h * job.from_strides[1] + t * job.from_strides[2] + j;
          const std::int64_t to = b * job.to_strides[0] + h * job.to_strides[1] + t * job.to_strides[2] + j;
          const double p = x[from], q = x[from + half], c = cosine[t * half + j], s = sine[t * half + j];
          off.add(out[to], p * c - q * s, (std::fabs(p * c) + std::fabs(q * s)) * kStep<T>);
          off.add(out[to + half], q * c + p * s, (std::fabs(q * c) + std::fabs(p * s)) * kStep<T>);
        }
  CHECK(off.count == 0);
  CHECK(out.is_within_bounds());
}

TEST_CASE("a device's rotary embedding") {
  for (const std::int64_t half : {1, 3, 4, 10, 32, 64})
    for (const bool by_token : {false, true})
      for (const std::int64_t shift : {0, 1}) {
        check_rotary<float>(half, by_token, shift);
        check_rotary<Bf16>(half, by_token, shift);
      }
}

template <typename T>
void check_merge(int count, std::int64_t n, std::int64_t shift) {
  INFO(count << " parts, rows of " << n << ", " << shift << " past the boundary");
  constexpr std::int64_t kBatch = 2, kHeads = 3, kRows = 5, kPadded = 8;  // rows of the log-sum-exp may be padded
  const std::int64_t all = kBatch * kHeads * kRows * n;
  MergeJob job{{}, {}, {}, {}, count, kBatch, kHeads, kRows, n, nullptr, kNumber<T>};
  std::vector<Array<T>> partials;
  std::vector<Array<float>> lses;
  for (int p = 0; p < count; ++p) {
    partials.emplace_back(all, shift, static_cast<unsigned>(10 + p));
    lses.emplace_back(kBatch * kHeads * kPadded, 0, static_cast<unsigned>(20 + p), 3);
    if (p == 1) lses.back().data()[2] = -std::numeric_limits<float>::infinity();  // a row that sees nothing of this part
    const std::int64_t of_batch = kHeads * kRows * n, by_head[3] = {of_batch, kRows * n, n},
                       by_row[3] = {of_batch, n, kHeads * n};
    const std::int64_t padded[3] = {kHeads * kPadded, kPadded, 1};
    for (int i = 0; i < 3; ++i) job.strides[p][i] = p % 2 ? by_head[i] : by_row[i], job.lse_strides[p][i] = padded[i];
  }
  for (int p = 0; p < count; ++p)
    job.partials[p] = partials[static_cast<std::size_t>(p)].data(), job.lses[p] = lses[static_cast<std::size_t>(p)].data();
  Array<T> out(all, shift);
  job.out = out.data();
  REQUIRE(cuda::merge<Launch>(job) == 0);
  Off off;
  for (std::int64_t b = 0; b < kBatch; ++b)
    for (std::int64_t h = 0; h < kHeads; ++h)
      for (std::int64_t t = 0; t < kRows; ++t)
        for (std::int64_t j = 0; j < n; ++j) {
          double whole = 0, expected = 0, size = 0;
          for (int p = 0; p < count; ++p) {
            const auto part = static_cast<std::size_t>(p);
            const double share = std::exp(lses[part][(b * kHeads + h) * kPadded + t]);
            const double value = partials[part][b * job.strides[p][0] + h * job.strides[p][1] + t * job.strides[p][2] + j];
            whole += share;
            expected += share * value;
            size += share * std::fabs(value);
          }
          off.add(out[((b * kRows + t) * kHeads + h) * n + j], expected / whole, size / whole * kStep<T>);
        }
  CHECK(off.count == 0);
  CHECK(out.is_within_bounds());
}

TEST_CASE("a device's merge of partial attention") {
  for (const int count : {1, 2, 3, kMostPartials})
    for (const std::int64_t n : {1, 6, 8, 64})
      for (const std::int64_t shift : {0, 1}) {
        check_merge<float>(count, n, shift);
        check_merge<Bf16>(count, n, shift);
      }
}

TEST_CASE("a device's log-softmax of rows and its gradient") {
  for (const std::int64_t n : kSizes)
    for (const std::int64_t shift : {0, 1})
      for (const bool has_weights : {false, true}) {
        INFO(n << ", " << shift << " past the boundary, weights " << has_weights);
        constexpr std::int64_t kRows = 4;
        Array<float> logits(kRows * n, shift, 1, 20), weights(kRows, 0, 2), values(kRows);
        std::vector<std::int64_t> targets;
        for (std::int64_t row = 0; row < kRows; ++row) targets.push_back((row * 7 + n - 1) % n);
        std::vector<double> before;
        for (std::int64_t i = 0; i < kRows * n; ++i) before.push_back(logits[i]);
        REQUIRE(cuda::loss_rows<Launch>(
                    {logits.data(), targets.data(), has_weights ? weights.data() : nullptr, values.data(), kRows, n}) == 0);
        Off off;
        for (std::int64_t row = 0; row < kRows; ++row) {
          const double* line = before.data() + row * n;
          double top = line[0], whole = 0;
          for (std::int64_t i = 0; i < n; ++i) top = std::max(top, line[i]);
          for (std::int64_t i = 0; i < n; ++i) whole += std::exp(line[i] - top);
          const std::int64_t target = targets[static_cast<std::size_t>(row)];
          const double expected = line[target] - top - std::log(whole);
          off.add(values[row], expected, 4e-6 * (1 + std::fabs(top) + std::fabs(line[target])));
          for (std::int64_t i = 0; i < n; ++i) {
            const double share = std::exp(line[i] - top) / whole, slope = weights[row] * (share - (i == target));
            off.add(logits[row * n + i], has_weights ? slope : line[i],
                    has_weights ? 2e-5 * std::fabs(weights[row]) * (share + (i == target)) + 1e-30 : 0);
          }
        }
        CHECK(off.count == 0);
        CHECK((logits.is_within_bounds() && values.is_within_bounds()));
      }
}

template <typename T>
void check_int8(std::int64_t rows, std::int64_t outs, std::int64_t n, std::int64_t shift) {
  INFO(rows << " rows, " << outs << "x" << n << ", " << shift << " past the boundary");
  Array<T> x(rows * n, shift, 1), y(rows * outs, shift);
  Array<float> scales(outs, 0, 2);
  std::vector<std::int8_t> memory(static_cast<std::size_t>(outs * n + 64));
  std::int8_t* weight = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64 + shift;
  std::mt19937 random(3);
  for (std::int64_t i = 0; i < outs * n; ++i) weight[i] = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
  REQUIRE(cuda::int8_product<Launch>({weight, scales.data(), x.data(), y.data(), kNumber<T>, rows, outs, n}) == 0);
  Off off;
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t out = 0; out < outs; ++out) {
      double sum = 0, size = 0;
      for (std::int64_t i = 0; i < n; ++i)
        sum += weight[out * n + i] * x[row * n + i], size += std::fabs(weight[out * n + i] * x[row * n + i]);
      off.add(y[row * outs + out], sum * scales[out], std::fabs(scales[out]) * (2e-6 * size + kStep<T> * std::fabs(sum)));
    }
  CHECK(off.count == 0);
  CHECK(y.is_within_bounds());
}

TEST_CASE("a device's product of few rows with 8-bit weights") {
  for (const std::int64_t rows : {1, 2, 8})
    for (const std::int64_t n : {1, 17, 48, 160}) {
      check_int8<float>(rows, 9, n, 0);
      check_int8<Bf16>(rows, 9, n, 0);
    }
  for (const std::int64_t outs : {1, 4, 5}) {
    check_int8<float>(2, outs, 64, 1);
    check_int8<Bf16>(2, outs, 16, 0);
  }
}

TEST_CASE("a device's bf16 rounds to nearest, ties to even, and keeps NaN and infinity") {
  const auto bits = [](float x) { return cuda::narrow<Bf16>(x).bits; };
  CHECK(bits(1.0f) == 0x3f80);
  CHECK(bits(1.0f + 0x1p-8f) == 0x3f80);
  CHECK(bits(1.0f + 3 * 0x1p-8f) == 0x3f82);
  CHECK(bits(1.0f + 0x1p-8f + 0x1p-20f) == 0x3f81);
  CHECK(bits(std::numeric_limits<float>::infinity()) == 0x7f80);
  CHECK(bits(std::numeric_limits<float>::max()) == 0x7f80);
  std::uint32_t odd = 0x7f800001;  // NaN in the bits that are cut
  float nan;
  std::memcpy(&nan, &odd, 4);
  CHECK((bits(nan) & 0x7fff) > 0x7f80);
}

}  // namespace
}  // namespace uio::kernels
