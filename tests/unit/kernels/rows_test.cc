// The row kernels of every build that this CPU runs, against arithmetic in double and against the generic build.
#include "kernels/rows.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "kernels/policy.h"
#include "ops/row_builds.h"

namespace uio::kernels {
namespace {

using test::row_builds;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::int64_t kSizes[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 130, 257, 1100};

std::vector<float> numbers(std::int64_t n, int seed, float scale = 1) {
  std::mt19937 random(static_cast<unsigned>(seed));
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = normal(random);
  return values;
}

// LibTorch's own conversions are the truth about rounding.
std::vector<std::uint16_t> narrow(const std::vector<float>& values) {
  std::vector<std::uint16_t> bits;
  for (const float value : values) bits.push_back(at::BFloat16(value).x);
  return bits;
}
float widen(std::uint16_t bits) { return at::BFloat16(bits, at::BFloat16::from_bits()); }
std::vector<float> widen(const std::vector<std::uint16_t>& bits) {
  std::vector<float> values;
  for (const std::uint16_t one : bits) values.push_back(widen(one));
  return values;
}

// Half a step of bfloat16 at `value`, and a little for the f32 arithmetic before the rounding.
double step(double value) { return std::abs(value) * 0x1p-8 * 1.001 + 1e-30; }

TEST_CASE("the build in use is one that this CPU runs") {
  bool is_known = false;
  for (const RowKernels* build : row_builds()) {
    REQUIRE(build != nullptr);
    is_known = is_known || build == &row_kernels();
  }
  CHECK(is_known);
  CHECK(&row_kernels() == row_builds().back());
  CHECK(std::string(instruction_set()) == row_builds().back()->instruction_set);
}

TEST_CASE("rms_norm of a row") {
  for (const RowKernels* build : row_builds()) {
    for (const std::int64_t n : kSizes) {
      INFO(build->instruction_set << ", " << n);
      const std::vector<float> x = numbers(n, 1, 3), weight = numbers(n, 2);
      double square = 0;
      for (const float value : x) square += static_cast<double>(value) * value;
      const double scale = 1 / std::sqrt(square / static_cast<double>(n) + 1e-5);
      std::vector<float> wide(x.size(), NAN);
      std::vector<std::uint16_t> bits(x.size());
      build->rms_norm_f32(x.data(), weight.data(), wide.data(), n, 1e-5);
      build->rms_norm_bf16(x.data(), weight.data(), bits.data(), n, 1e-5);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double expected = x[i] * scale * weight[i];
        CHECK(wide[i] == Approx(expected).epsilon(1e-6));
        CHECK(std::abs(widen(bits[i]) - expected) <= step(expected));
      }
    }
  }
}

TEST_CASE("rms_norm of zeros stays finite") {
  const std::vector<float> zeros(40), ones(40, 1);
  for (const RowKernels* build : row_builds()) {
    std::vector<float> out(40, NAN);
    build->rms_norm_f32(zeros.data(), ones.data(), out.data(), 40, 1e-6);
    CHECK(out == zeros);
  }
}

TEST_CASE("a row added to another") {
  for (const RowKernels* build : row_builds()) {
    for (const std::int64_t n : kSizes) {
      INFO(build->instruction_set << ", " << n);
      const std::vector<float> x = numbers(n, 1, 3), y = numbers(n, 2);
      const std::vector<std::uint16_t> narrow_y = narrow(y);
      const std::vector<float> rounded_y = widen(narrow_y);
      std::vector<float> in_place = x, out(x.size(), NAN);
      build->add_f32(in_place.data(), y.data(), in_place.data(), n);
      build->add_bf16(x.data(), narrow_y.data(), out.data(), n);
      for (std::size_t i = 0; i < x.size(); ++i) {
        CHECK(in_place[i] == x[i] + y[i]);
        CHECK(out[i] == x[i] + rounded_y[i]);
      }
    }
  }
}

TEST_CASE("swiglu of a row") {
  for (const RowKernels* build : row_builds()) {
    for (const std::int64_t n : kSizes) {
      INFO(build->instruction_set << ", " << n);
      std::vector<float> gate = numbers(n, 3, 4), up = numbers(n, 4);
      gate[0] = -120;  // beyond what e^x holds in f32
      if (n > 8) gate[8] = 120;
      const std::vector<float> before = gate;
      std::vector<std::uint16_t> narrow_gate = narrow(gate);
      const std::vector<std::uint16_t> narrow_up = narrow(up);
      const std::vector<float> rounded = widen(narrow_gate), rounded_up = widen(narrow_up);
      build->swiglu_f32(gate.data(), up.data(), gate.data(), n);
      build->swiglu_bf16(narrow_gate.data(), narrow_up.data(), narrow_gate.data(), n);
      for (std::size_t i = 0; i < gate.size(); ++i) {
        const auto exact = [](double g, double u) { return g / (1 + std::exp(-g)) * u; };
        CHECK(gate[i] == Approx(exact(before[i], up[i])).epsilon(1e-6).margin(1e-30));
        const double expected = exact(rounded[i], rounded_up[i]);
        CHECK(std::abs(widen(narrow_gate[i]) - expected) <= step(expected) + 1e-30);
      }
    }
  }
}

TEST_CASE("rotary of a row") {
  for (const RowKernels* build : row_builds()) {
    for (const std::int64_t half : {1, 3, 4, 8, 11, 16, 20, 32, 50, 64}) {
      INFO(build->instruction_set << ", " << half);
      const std::vector<float> x = numbers(2 * half, 5);
      std::vector<float> cosine, sine;
      for (std::int64_t j = 0; j < half; ++j) {
        cosine.push_back(static_cast<float>(std::cos(0.3 * static_cast<double>(j))));
        sine.push_back(static_cast<float>(std::sin(0.3 * static_cast<double>(j))));
      }
      const std::vector<std::uint16_t> bits = narrow(x);
      const std::vector<float> rounded = widen(bits);
      std::vector<float> out(x.size(), NAN);
      std::vector<std::uint16_t> narrow_out(x.size());
      build->rotary_f32(x.data(), cosine.data(), sine.data(), out.data(), half);
      build->rotary_bf16(bits.data(), cosine.data(), sine.data(), narrow_out.data(), half);
      for (std::size_t j = 0; j < static_cast<std::size_t>(half); ++j) {
        const auto pair = [&](const std::vector<float>& from) {
          const double a = from[j], b = from[j + static_cast<std::size_t>(half)], c = cosine[j], s = sine[j];
          return std::pair(a * c - b * s, b * c + a * s);
        };
        const auto [first, second] = pair(x);
        CHECK(out[j] == Approx(first).margin(1e-6));
        CHECK(out[j + static_cast<std::size_t>(half)] == Approx(second).margin(1e-6));
        const auto [low, high] = pair(rounded);
        CHECK(std::abs(widen(narrow_out[j]) - low) <= step(low) + 1e-7);
        CHECK(std::abs(widen(narrow_out[j + static_cast<std::size_t>(half)]) - high) <= step(high) + 1e-7);
      }
    }
  }
}

TEST_CASE("all 65536 bfloat16 and half values widen exactly") {
  std::vector<std::uint16_t> every(65536);
  for (std::size_t i = 0; i < every.size(); ++i) every[i] = static_cast<std::uint16_t>(i);
  for (const RowKernels* build : row_builds()) {
    INFO(build->instruction_set);
    std::vector<float> bf16(every.size()), f16(every.size());
    // Lengths that end in the scalar rest, too.
    build->widen_bf16(every.data(), bf16.data(), 65536 - 3);
    build->widen_f16(every.data(), f16.data(), 65536 - 3);
    build->widen_bf16(every.data() + 65533, bf16.data() + 65533, 3);
    build->widen_f16(every.data() + 65533, f16.data() + 65533, 3);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < every.size(); ++i) {
      const float a = widen(every[i]), b = at::Half(every[i], at::Half::from_bits());
      wrong += !(bf16[i] == a || (std::isnan(bf16[i]) && std::isnan(a)));
      wrong += !(f16[i] == b || (std::isnan(f16[i]) && std::isnan(b)));
      wrong += std::signbit(bf16[i]) != std::signbit(a) || std::signbit(f16[i]) != std::signbit(b);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("narrowing rounds to nearest, ties to even, and keeps NaN and infinity") {
  // A turn by nothing narrows what it has widened; a norm of one component with weight w gives ±w, narrowed.
  std::vector<float> odd = {1.00390625f, 1.01171875f, -1.00390625f, 3.3895314e38f, 3.4e38f, kInfinity, -kInfinity, 0.0f, -0.0f};
  for (const float value : numbers(200, 9, 1e3f)) odd.push_back(value);
  const float one = 1;
  for (const RowKernels* build : row_builds()) {
    INFO(build->instruction_set);
    for (const float value : odd) {
      std::uint16_t found = 0;
      build->rms_norm_bf16(&one, &value, &found, 1, 0);
      CHECK(found == at::BFloat16(value).x);
    }
    // The same in whole vectors: every component is 1, so their root mean square is 1.
    const std::vector<float> ones(odd.size(), 1);
    std::vector<std::uint16_t> found(odd.size());
    build->rms_norm_bf16(ones.data(), odd.data(), found.data(), static_cast<std::int64_t>(odd.size()), 0);
    CHECK(found == narrow(odd));
    std::vector<std::uint16_t> gate = narrow(std::vector<float>(33, NAN)), up = narrow(std::vector<float>(33, 1));
    build->swiglu_bf16(gate.data(), up.data(), gate.data(), 33);
    for (const std::uint16_t bits : gate) CHECK(std::isnan(widen(bits)));
  }
}

TEST_CASE("a sum of weighted rows") {
  for (const RowKernels* build : row_builds()) {
    for (const std::int64_t n : kSizes) {
      INFO(build->instruction_set << ", " << n);
      constexpr std::int64_t kCount = 7;
      const std::vector<float> rows = numbers(n * kCount, 8), weights = numbers(kCount, 9), before = numbers(n, 10);
      std::vector<float> out = before;
      build->add_weighted(rows.data(), weights.data(), out.data(), kCount, n);
      for (std::int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<std::size_t>(i);
        double exact = before[at], size = std::abs(before[at]);
        for (std::int64_t r = 0; r < kCount; ++r) {
          const double term = static_cast<double>(weights[static_cast<std::size_t>(r)]) * rows[static_cast<std::size_t>(r * n + i)];
          exact += term, size += std::abs(term);
        }
        CHECK(std::abs(out[at] - exact) <= size * 1e-6);
      }
      build->add_weighted(rows.data(), weights.data(), out.data(), 0, n);  // no rows: nothing is added
    }
  }
}

TEST_CASE("matrix times vector") {
  for (const RowKernels* build : row_builds()) {
    for (const std::int64_t n : kSizes) {
      INFO(build->instruction_set << ", " << n);
      constexpr std::int64_t kOuts = 13;
      const std::vector<float> x = numbers(n, 6), w = numbers(n * kOuts, 7);
      const std::vector<std::uint16_t> bf16 = narrow(w);
      std::vector<std::uint16_t> f16;
      for (const float value : w) f16.push_back(at::Half(value).x);
      float wide[kOuts], from_bf16[kOuts], from_f16[kOuts];
      build->matvec_f32(w.data(), x.data(), wide, kOuts, n);
      for (std::int64_t o = 0; o < kOuts; ++o) {  // wherever a row stands
        float alone;
        build->matvec_f32(w.data() + o * n, x.data(), &alone, 1, n);
        CHECK(alone == wide[o]);
      }
      std::vector<float> paired(x.size(), NAN);
      build->pair_up(x.data(), paired.data(), n);
      build->matvec_bf16(bf16.data(), paired.data(), from_bf16, kOuts, n);
      build->matvec_f16(f16.data(), x.data(), from_f16, kOuts, n);
      for (std::int64_t o = 0; o < kOuts; ++o) {
        double exact = 0, exact_bf16 = 0, exact_f16 = 0, size = 0;
        for (std::int64_t i = 0; i < n; ++i) {
          const auto at = static_cast<std::size_t>(o * n + i);
          const double factor = x[static_cast<std::size_t>(i)];
          exact += w[at] * factor, exact_bf16 += widen(bf16[at]) * factor;
          exact_f16 += static_cast<float>(at::Half(f16[at], at::Half::from_bits())) * factor;
          size += std::abs(w[at] * factor);
        }
        CHECK(std::abs(wide[o] - exact) <= size * 1e-6);
        CHECK(std::abs(from_bf16[o] - exact_bf16) <= size * 1e-6);
        CHECK(std::abs(from_f16[o] - exact_f16) <= size * 1e-6);
      }
    }
  }
}

TEST_CASE("rounding to the numbers of bf16, in place") {
  for (const RowKernels* build : row_builds()) {
    for (const std::int64_t n : kSizes) {
      std::vector<float> x = numbers(n, 21);
      const float odd[] = {0.0f, -0.0f, kInfinity, -kInfinity, NAN, 1e-40f, 3.4e38f, 1.00390625f, 1.01171875f, 1.0f + 1.0f / 128, -2.0078125f};  // among them ties, and what rounds to infinity
      for (std::size_t i = 0; i < x.size(); i += 2) x[i] = odd[i / 2 % std::size(odd)];
      std::vector<float> rounded = x;
      build->round_bf16(rounded.data(), n);
      for (std::size_t i = 0; i < x.size(); ++i) {
        INFO(build->instruction_set << ", " << n << ", " << x[i]);
        const float wanted = static_cast<float>(at::BFloat16(x[i]));
        CHECK((std::isnan(x[i]) ? std::isnan(rounded[i]) : std::bit_cast<std::uint32_t>(rounded[i]) == std::bit_cast<std::uint32_t>(wanted)));
      }
    }
  }
}

TEST_CASE("pairing up moves every value, once") {
  for (const RowKernels* build : row_builds()) {
    for (const std::int64_t n : kSizes) {
      std::vector<float> x(static_cast<std::size_t>(n)), out(x.size(), NAN);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
      build->pair_up(x.data(), out.data(), n);
      std::sort(out.begin(), out.end());
      CHECK(out == x);
    }
  }
}

TEST_CASE("the greatest of a row, shifted exponentials, a factor") {
  for (const RowKernels* build : row_builds()) {
    CHECK(build->row_max(nullptr, 0) == -kInfinity);
    for (const std::int64_t n : kSizes) {
      INFO(build->instruction_set << ", " << n);
      for (const std::int64_t at : {std::int64_t{0}, n / 2, n - 1}) {
        std::vector<float> x = numbers(n, 10);
        x[static_cast<std::size_t>(at)] = 50;
        CHECK(build->row_max(x.data(), n) == 50);
        for (float& value : x) value = -std::abs(value) - 1;
        x[static_cast<std::size_t>(at)] = -0.5f;
        CHECK(build->row_max(x.data(), n) == -0.5f);
        x.assign(x.size(), -kInfinity);
        CHECK(build->row_max(x.data(), n) == -kInfinity);
      }
      std::vector<float> x = numbers(n, 11, 10);
      for (std::size_t i = 0; i < x.size(); i += 3) x[i] = -kInfinity;
      const std::vector<float> before = x;
      double exact = 0;
      const float sum = build->exp_shifted(x.data(), n, 20);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double expected = std::exp(static_cast<double>(before[i]) - 20);
        exact += expected;
        if (i % 3 == 0) CHECK(x[i] == 0);                             // exactly: hidden keys must weigh nothing
        CHECK(x[i] == Approx(expected).epsilon(1e-5).margin(1e-37));  // the shifted argument is rounded, too
      }
      CHECK(sum == Approx(exact).epsilon(1e-5).margin(1e-37));
      std::vector<float> scaled = numbers(n, 12);
      const std::vector<float> unscaled = scaled;
      build->scale(scaled.data(), n, -1.5f);
      for (std::size_t i = 0; i < scaled.size(); ++i) CHECK(scaled[i] == -1.5f * unscaled[i]);
    }
  }
}

TEST_CASE("hiding what a row does not see") {
  for (const RowKernels* build : row_builds()) {
    for (const std::int64_t n : kSizes) {
      INFO(build->instruction_set << ", " << n);
      std::vector<float> x = numbers(n, 27);
      const std::vector<float> before = x;
      std::vector<std::uint8_t> sees(x.size());
      for (std::size_t i = 0; i < x.size(); ++i) sees[i] = before[i] > 0.3f;
      build->hide(sees.data(), x.data(), n);
      for (std::size_t i = 0; i < x.size(); ++i) CHECK(x[i] == (sees[i] ? before[i] : -kInfinity));
    }
  }
}

TEST_CASE("log-sum-exp of a row") {
  for (const RowKernels* build : row_builds()) {
    for (const std::int64_t n : kSizes) {
      for (const float shift : {0.0f, 300.0f, -300.0f}) {
        INFO(build->instruction_set << ", " << n << ", " << shift);
        std::vector<float> x = numbers(n, 8, 5);
        for (float& value : x) value += shift;
        double exact = 0;
        for (const float value : x) exact += std::exp(static_cast<double>(value) - shift);
        CHECK(build->log_sum_exp(x.data(), n) == Approx(std::log(exact) + shift).epsilon(3e-7).margin(1e-6));
      }
    }
    // Many equal terms: none is lost to the sum before it.
    const std::vector<float> flat(100003, 0);
    CHECK(build->log_sum_exp(flat.data(), 100003) == Approx(std::log(100003.0)).epsilon(1e-6));
  }
}

TEST_CASE("log-sum-exp of infinities") {
  for (const RowKernels* build : row_builds()) {
    INFO(build->instruction_set);
    for (const std::size_t n : {1u, 5u, 16u, 40u}) {
      for (std::size_t at = 0; at < n; ++at) {
        std::vector<float> row(n, -kInfinity);
        CHECK(build->log_sum_exp(row.data(), static_cast<std::int64_t>(n)) == -kInfinity);
        row[at] = 2.5f;
        CHECK(build->log_sum_exp(row.data(), static_cast<std::int64_t>(n)) == Approx(2.5));
        row.assign(n, 1.0f);
        row[at] = kInfinity;
        CHECK(build->log_sum_exp(row.data(), static_cast<std::int64_t>(n)) == kInfinity);
        row[at] = NAN;
        CHECK(std::isnan(build->log_sum_exp(row.data(), static_cast<std::int64_t>(n))));
      }
    }
  }
}

TEST_CASE("gradients of a row") {
  for (const RowKernels* build : row_builds()) {
    for (const std::int64_t n : kSizes) {
      INFO(build->instruction_set << ", " << n);
      const auto count = static_cast<std::size_t>(n);
      const std::vector<float> x = numbers(n, 20, 3), y = numbers(n, 21), slope = numbers(n, 22);
      double product = 0, size = 0;
      for (std::size_t i = 0; i < count; ++i) {
        product += static_cast<double>(x[i]) * y[i];
        size += std::abs(static_cast<double>(x[i]) * y[i]);
      }
      CHECK(std::abs(build->dot(x.data(), y.data(), n) - product) <= size * 1e-6);

      const float s = 0.7f;
      double pull = 0;
      for (std::size_t i = 0; i < count; ++i)
        pull += static_cast<double>(slope[i]) * y[i] * x[i] * s * s * s / static_cast<double>(n);
      std::vector<float> x_slope(count, NAN), weight_slope(count, 2), alone(count, NAN);
      build->rms_norm_backward(x.data(), y.data(), slope.data(), s, x_slope.data(), weight_slope.data(), n);
      build->rms_norm_backward(x.data(), y.data(), slope.data(), s, alone.data(), nullptr, n);
      CHECK(alone == x_slope);
      for (std::size_t i = 0; i < count; ++i) {
        CHECK(x_slope[i] == Approx(static_cast<double>(slope[i]) * y[i] * s - x[i] * pull).epsilon(1e-5).margin(1e-5));
        CHECK(weight_slope[i] == Approx(2 + static_cast<double>(slope[i]) * x[i] * s).epsilon(1e-5).margin(1e-5));
      }

      std::vector<float> gate_slope(count, NAN), up_slope(count, NAN);
      build->swiglu_backward(x.data(), y.data(), slope.data(), gate_slope.data(), up_slope.data(), n);
      for (std::size_t i = 0; i < count; ++i) {
        const double share = 1 / (1 + std::exp(-static_cast<double>(x[i])));
        CHECK(up_slope[i] == Approx(slope[i] * share * x[i]).epsilon(1e-5).margin(1e-6));
        CHECK(gate_slope[i] == Approx(slope[i] * y[i] * share * (1 + x[i] * (1 - share))).epsilon(1e-5).margin(1e-6));
      }
    }
  }
}

TEST_CASE("rows of logits become their gradients") {
  const auto shares = [](const std::vector<float>& logits) {
    std::vector<double> out;
    double total = 0;
    for (const float logit : logits) total += std::exp(static_cast<double>(logit) - 100);
    for (const float logit : logits) out.push_back(std::exp(static_cast<double>(logit) - 100) / total);
    return out;
  };
  for (const RowKernels* build : row_builds()) {
    for (const std::int64_t n : kSizes) {
      INFO(build->instruction_set << ", " << n);
      std::vector<float> logits = numbers(n, 23, 4), teacher = numbers(n, 24, 4);
      for (float& logit : logits) logit += 90;  // as large as they may be: only differences count
      for (float& logit : teacher) logit += 110;
      const std::vector<double> p = shares(logits), t = shares(teacher);
      const auto target = static_cast<std::size_t>(n / 2);

      std::vector<float> slope = logits;
      const float chosen = build->softmax_slope(slope.data(), n, n / 2, 0.5f);
      CHECK(chosen == logits[target] - build->log_sum_exp(logits.data(), n));  // the bits of the loss without a gradient
      CHECK(chosen == Approx(std::log(p[target])).margin(2e-5));
      for (std::size_t i = 0; i < p.size(); ++i)
        CHECK(slope[i] == Approx(0.5 * (p[i] - (i == target))).epsilon(1e-5).margin(1e-7));

      slope = logits;
      std::vector<float> scratch = teacher;
      double divergence = 0;
      for (std::size_t i = 0; i < p.size(); ++i) divergence += t[i] * std::log(t[i] / p[i]);
      CHECK(build->divergence_slope(slope.data(), scratch.data(), n, 0.5f) == Approx(divergence).epsilon(1e-5).margin(1e-5));
      for (std::size_t i = 0; i < p.size(); ++i) CHECK(slope[i] == Approx(0.5 * (p[i] - t[i])).epsilon(1e-5).margin(1e-7));

      std::vector<float> scores = numbers(n, 25, 4), slopes = numbers(n, 26);
      scores[0] = -kInfinity;
      const std::vector<float> before = scores, given = slopes;
      build->attention_slope(scores.data(), slopes.data(), n, 5, 0.25f);
      CHECK(scores[0] == 0);
      CHECK(slopes[0] == 0);
      for (std::size_t i = 0; i < p.size(); ++i) {
        const double weight = std::exp(static_cast<double>(before[i]) - 5);
        CHECK(scores[i] == Approx(weight).epsilon(1e-5));
        CHECK(slopes[i] == Approx(weight * (given[i] - 0.25)).epsilon(1e-5).margin(1e-9));
      }
    }
  }
}

// The sum that is taken for a row without a finite greatest element is NaN here. No model of ours gives such logits.
TEST_CASE("log-sum-exp of both infinities", "") {
  const float row[] = {-kInfinity, kInfinity, 0};
  for (const RowKernels* build : row_builds()) CHECK(build->log_sum_exp(row, 3) == kInfinity);
}

// Sizes beyond one exact sum of products, too.
constexpr std::int64_t kLongSizes[] = {1, 15, 16, 33, 127, 1100, 4096, 4097, 9000};

TEST_CASE("rows rounded to whole numbers") {
  for (const RowKernels* build : row_builds()) {
    for (const std::int64_t n : kLongSizes) {
      INFO(build->instruction_set << ", " << n);
      const std::vector<float> x = numbers(n, 31, 5);
      float largest = 0;
      for (const float value : x) largest = std::max(largest, std::abs(value));
      std::vector<std::int8_t> narrow(x.size());
      std::vector<std::int16_t> wide(x.size());
      const float step = build->round_i8(x.data(), narrow.data(), n), fine = build->round_i16(x.data(), wide.data(), n);
      CHECK(step == Approx(largest / 127));
      CHECK(fine == Approx(largest / 4095));
      std::vector<float> back(x.size());
      build->widen_i8(narrow.data(), step, back.data(), n);
      for (std::size_t i = 0; i < x.size(); ++i) {
        REQUIRE(std::abs(x[i] - step * static_cast<float>(narrow[i])) <= step * 0.5001f);
        REQUIRE(std::abs(x[i] - fine * static_cast<float>(wide[i])) <= fine * 0.501f);
        REQUIRE(back[i] == step * static_cast<float>(narrow[i]));
      }
      for (const float odd : {NAN, kInfinity, -kInfinity}) {
        std::vector<float> bad = x;
        bad[static_cast<std::size_t>(n / 2)] = odd;
        CHECK(std::isnan(build->round_i8(bad.data(), narrow.data(), n)));
        CHECK(std::isnan(build->round_i16(bad.data(), wide.data(), n)));
      }
      const std::vector<float> zeros(x.size(), 0.0f);
      CHECK(build->round_i8(zeros.data(), narrow.data(), n) == 0);
      CHECK(std::count(narrow.begin(), narrow.end(), 0) == n);
    }
  }
}

TEST_CASE("products of whole numbers are exact, with every instruction set") {
  for (const RowKernels* build : row_builds()) {
    for (const std::int64_t n : kLongSizes) {
      INFO(build->instruction_set << ", " << n);
      constexpr std::int64_t kOuts = 7;  // short rows go four at once
      std::vector<std::int8_t> w(static_cast<std::size_t>(kOuts * n));
      std::vector<std::int16_t> x(static_cast<std::size_t>(n));
      std::mt19937 random(5);
      for (auto& value : w) value = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
      for (auto& value : x) value = static_cast<std::int16_t>(static_cast<int>(random() % 8191) - 4095);
      std::fill(w.begin(), w.begin() + n, std::int8_t{-127});  // the first row: the largest sum that there is
      std::vector<std::int16_t> extremes(x.size(), std::int16_t{-4095});
      const float scales[kOuts] = {1, 0.25f, 3, 0.1f, 7, 1e-3f, 2};
      float out[kOuts];
      for (const auto* input : {&x, &extremes}) {
        build->matvec_i8(w.data(), scales, input->data(), 0.5f, out, kOuts, n);
        for (std::int64_t o = 0; o < kOuts; ++o) {
          double sum = 0;
          for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(w[static_cast<std::size_t>(o * n + i)]) * (*input)[static_cast<std::size_t>(i)];
          CHECK(out[o] == static_cast<float>(sum * (static_cast<double>(scales[o]) * 0.5)));
        }
      }
    }
  }
}

TEST_CASE("products of many rows of whole numbers are those of one row at a time") {
  std::mt19937 random(6);
  for (const RowKernels* build : row_builds())
    for (const std::int64_t n : {1, 16, 32, 40, 80, 128, 256, 272})
      for (const std::int64_t outs : {1, 15, 16, 50})
        for (const std::int64_t count : {1, 2, 3, 7, 9}) {
          INFO(build->instruction_set << ", " << n << ", " << outs << ", " << count);
          std::vector<std::int8_t> w(static_cast<std::size_t>(outs * n));
          std::vector<std::int16_t> x(static_cast<std::size_t>(count * n));
          for (auto& value : w) value = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
          for (auto& value : x) value = static_cast<std::int16_t>(static_cast<int>(random() % 8191) - 4095);
          std::fill_n(w.begin(), n, std::int8_t{-127}), std::fill_n(x.begin(), n, std::int16_t{-4095});
          const std::vector<float> scales = numbers(outs, 7), x_scales = numbers(count, 8);
          std::vector<float> out(static_cast<std::size_t>(count * outs)), wanted = out;
          build->products_i8(w.data(), scales.data(), x.data(), x_scales.data(), out.data(), outs, n, count);
          for (std::int64_t i = 0; i < count; ++i)
            build->matvec_i8(w.data(), scales.data(), x.data() + i * n, x_scales[static_cast<std::size_t>(i)], wanted.data() + i * outs, outs, n);
          CHECK(out == wanted);
          // Rows by their numbers, some of them twice.
          std::vector<std::int32_t> rows;
          for (std::int64_t i = 0; i < 2 * outs + 1; ++i) rows.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(outs)));
          std::vector<float> named(rows.size());
          build->matvec_named_i8(w.data(), scales.data(), rows.data(), x.data(), x_scales[0], named.data(), static_cast<std::int64_t>(rows.size()), n);
          for (std::size_t i = 0; i < rows.size(); ++i) CHECK(named[i] == wanted[static_cast<std::size_t>(rows[i])]);
        }
}

TEST_CASE("the k-th greatest of a row is that of a full sort") {
  for (const RowKernels* build : row_builds())
    for (const std::int64_t n : kLongSizes) {
      INFO(build->instruction_set << ", " << n);
      std::vector<float> x = numbers(n, 11, 1e-3f);
      for (std::size_t i = 0; i < x.size(); i += 3) x[i] = static_cast<float>(static_cast<int>(i % 7) - 3);  // many are equal
      if (n > 8) x[1] = kInfinity, x[2] = -kInfinity, x[4] = -0.0f, x[5] = 1e-42f, x[7] = -std::numeric_limits<float>::max();
      std::vector<float> sorted = x;
      std::sort(sorted.begin(), sorted.end(), std::greater<>());
      for (std::int64_t number = 1; number <= n; number += 1 + n / 50) CHECK(build->greatest(x.data(), n, number) == sorted[static_cast<std::size_t>(number - 1)]);
    }
}

TEST_CASE("what is above a threshold is named in order, and nothing else") {
  for (const RowKernels* build : row_builds())
    for (const std::int64_t n : kLongSizes) {
      INFO(build->instruction_set << ", " << n);
      std::vector<float> x = numbers(n, 9);
      x[static_cast<std::size_t>(n / 2)] = NAN;
      for (const float threshold : {-kInfinity, x[0], 0.0f, 0.9f, kInfinity}) {
        std::vector<std::int32_t> wanted, places(x.size() + 1, -7);
        for (std::size_t i = 0; i < x.size(); ++i)
          if (x[i] > threshold) wanted.push_back(static_cast<std::int32_t>(i));
        const std::int64_t found = build->above(x.data(), n, threshold, places.data());
        CHECK(places.back() == -7);
        places.resize(static_cast<std::size_t>(found));
        CHECK(places == wanted);
      }
    }
}

}  // namespace
}  // namespace uio::kernels
