// rms_norm, swiglu, rotary and linear: the fast path against the plain composition in double, per dtype; which path runs.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <optional>

#include "kernels/linear.h"
#include "kernels/rms_norm.h"
#include "kernels/rotary.h"
#include "kernels/swiglu.h"
#include "unit/kernels/compare.h"

namespace uio::kernels {
namespace {

using test::ForceReference;
using test::mean_square_error;
using test::normal;
using test::tolerance;

TEST_CASE("rms_norm") {
  for (const std::int64_t n : {1, 5, 16, 33, 96, 512}) {
    const at::Tensor x = 3 * normal({2, 7, n}, 1), weight = normal({n}, 2);
    const at::Tensor exact = rms_norm_reference(x, weight, 1e-5, at::kDouble);
    const at::Tensor by_hand = x / (x.square().sum(-1, true) / static_cast<double>(n) + 1e-5).sqrt() * weight;
    REQUIRE(mean_square_error(exact, by_hand) < tolerance(at::kDouble));
    for (const at::ScalarType out : {at::kFloat, at::kBFloat16, at::kHalf}) {
      INFO(n << ", " << c10::toString(out));
      const at::Tensor fast = rms_norm(x.to(at::kFloat), weight.to(at::kFloat), 1e-5, out);
      CHECK(fast.scalar_type() == out);
      CHECK(mean_square_error(fast, exact) < tolerance(out));
      const ForceReference plain;
      CHECK(mean_square_error(rms_norm(x.to(at::kFloat), weight.to(at::kFloat), 1e-5, out), exact) < tolerance(out));
    }
    CHECK(mean_square_error(rms_norm(x, weight, 1e-5, at::kDouble), exact) == 0);
    // Rows that do not lie side by side.
    const at::Tensor apart = x.to(at::kFloat).transpose(0, 1);
    CHECK(mean_square_error(rms_norm(apart, weight.to(at::kFloat), 1e-5, at::kFloat), exact.transpose(0, 1)) <
          tolerance(at::kFloat));
  }
  CHECK(rms_norm(at::empty({0, 8}), at::ones({8}), 1e-5, at::kFloat).sizes() == at::IntArrayRef({0, 8}));
}

TEST_CASE("swiglu") {
  for (const std::int64_t n : {1, 8, 30, 257}) {
    const at::Tensor gate = 3 * normal({5, n}, 3), up = normal({5, n}, 4);
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}) {
      INFO(n << ", " << c10::toString(dtype));
      const at::Tensor g = gate.to(dtype), u = up.to(dtype);
      const at::Tensor wide = g.to(at::kDouble), exact = wide / (1 + (-wide).exp()) * u.to(at::kDouble);
      CHECK(mean_square_error(swiglu_reference(g, u), exact) < tolerance(dtype));
      CHECK(mean_square_error(swiglu(g.clone(), u), exact) < tolerance(dtype));
    }
    const at::Tensor apart = gate.to(at::kFloat).transpose(0, 1), up_apart = up.to(at::kFloat).transpose(0, 1);
    const at::Tensor before = apart.clone();
    CHECK(mean_square_error(swiglu(apart, up_apart), swiglu_reference(before, up_apart)) < tolerance(at::kFloat));
  }
}

TEST_CASE("rotary") {
  constexpr std::int64_t kBatch = 2, kHeads = 3, kTokens = 5;
  for (const std::int64_t size : {2, 6, 16, 20, 64, 100}) {
    const at::Tensor angle = normal({kTokens, size / 2}, 5), cosine = angle.cos(), sine = angle.sin();
    const at::Tensor x = normal({kBatch, kTokens, kHeads, size}, 6);
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}) {
      INFO(size << ", " << c10::toString(dtype));
      const auto table = dtype == at::kDouble ? at::kDouble : at::kFloat;
      // As projections leave it (heads between tokens and components), and with heads outside.
      const at::Tensor by_token = x.to(dtype).transpose(1, 2), by_head = by_token.contiguous();
      const at::Tensor wide = by_head.to(at::kDouble), c = cosine.to(table).to(at::kDouble), s = sine.to(table).to(at::kDouble);
      const at::Tensor a = wide.narrow(3, 0, size / 2), b = wide.narrow(3, size / 2, size / 2);
      const at::Tensor exact = at::cat({a * c - b * s, b * c + a * s}, 3);
      for (const at::Tensor& input : {by_token, by_head}) {
        const at::Tensor before = input.clone();
        const at::Tensor fast = rotary(input, cosine.to(table), sine.to(table));
        CHECK(fast.scalar_type() == dtype);
        CHECK(mean_square_error(fast, exact) < tolerance(dtype));
        CHECK(mean_square_error(rotary_reference(input, cosine.to(table), sine.to(table)), exact) < tolerance(dtype));
        CHECK(mean_square_error(input, before) == 0);  // a new tensor, the old one untouched
      }
      // The layout of rows by token is kept: what reads them next views them so.
      if (dtype == at::kFloat) CHECK(rotary(by_token, cosine.to(table), sine.to(table)).transpose(1, 2).is_contiguous());
    }
  }
}

TEST_CASE("rotary turns by the sum of two turns, and back") {
  const at::Tensor x = normal({1, 2, 4, 8}, 7), angle = normal({4, 4}, 8), other = normal({4, 4}, 9);
  const auto turn = [](const at::Tensor& y, const at::Tensor& by) { return rotary(y, by.cos(), by.sin()); };
  CHECK(mean_square_error(turn(turn(x, angle), other), turn(x, angle + other)) < 1e-28);
  CHECK(mean_square_error(turn(turn(x, angle), -angle), x) < 1e-28);
}

TEST_CASE("linear") {
  for (const std::int64_t rows : {1, 2, 4, 5, 17, 64}) {
    for (const auto& [in, out] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {7, 3}, {48, 40}, {130, 257}}) {
      const at::Tensor x = normal({rows, in}, 10), weight = normal({out, in}, 11) / std::sqrt(static_cast<double>(in)),
                       bias = normal({out}, 12);
      for (const at::ScalarType stored : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}) {
        for (const at::ScalarType computed : {at::kFloat, at::kBFloat16, at::kDouble}) {
          INFO(rows << "×" << in << "×" << out << ", " << c10::toString(stored) << " weights, " << c10::toString(computed));
          const at::Tensor w = weight.to(stored), input = x.to(computed), b = bias.to(computed);
          const at::Tensor exact = at::linear(input.to(at::kDouble), w.to(at::kDouble));
          // Weights in f16 or f64 lose bits when bfloat16 products read them: the plain composition does so, too.
          const bool is_narrowed = computed == at::kBFloat16 && stored != at::kBFloat16;
          const double bound = is_narrowed ? 1e-4 : std::max(tolerance(computed), computed == at::kDouble ? 1e-28 : 0.0);
          CHECK(mean_square_error(kernels::linear(input, w), exact) < bound);
          CHECK(mean_square_error(kernels::linear(input, w, b), exact + b.to(at::kDouble)) < bound);
          CHECK(mean_square_error(linear_reference(input, w, b), exact + b.to(at::kDouble)) < bound);
          CHECK(kernels::linear(input, w, b).scalar_type() == computed);
        }
      }
    }
  }
}

TEST_CASE("linear widens into a scratch that the next call may overwrite, but not its results") {
  const at::Tensor x = normal({9, 16}, 13, at::kFloat), small = normal({8, 16}, 14, at::kBFloat16),
                   large = normal({64, 16}, 15, at::kBFloat16);
  const at::Tensor first = kernels::linear(x, large), kept = first.clone();
  const at::Tensor second = kernels::linear(x, small);
  CHECK(mean_square_error(first, kept) == 0);
  CHECK(mean_square_error(second, linear_reference(x, small)) < tolerance(at::kFloat));
  CHECK(mean_square_error(kernels::linear(x, large), kept) == 0);
}

TEST_CASE("one row gives what it gives among others") {
  // Generation and scoring must agree: one token at a time, or all at once.
  const at::Tensor x = normal({12, 96}, 16, at::kFloat);
  for (const at::ScalarType stored : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const at::Tensor weight = normal({50, 96}, 17, stored);
    const at::Tensor all = kernels::linear(x, weight);
    for (std::int64_t row = 0; row < 12; ++row)
      CHECK(mean_square_error(kernels::linear(x.narrow(0, row, 1), weight), all.narrow(0, row, 1)) < 1e-12);
  }
}

TEST_CASE("nothing to multiply") {
  CHECK(kernels::linear(at::empty({0, 8}), at::ones({3, 8})).sizes() == at::IntArrayRef({0, 3}));
}

TEST_CASE("gradients flow through the plain compositions") {
  at::Tensor x = normal({3, 8}, 18, at::kFloat).requires_grad_(true);
  const at::Tensor y = kernels::linear(rms_norm(x, at::ones({8}), 1e-5, at::kFloat), normal({4, 8}, 19, at::kFloat));
  swiglu(y, y).sum().backward();
  REQUIRE(x.grad().defined());
  CHECK(x.grad().abs().max().item<double>() > 0);
}

}  // namespace
}  // namespace uio::kernels
