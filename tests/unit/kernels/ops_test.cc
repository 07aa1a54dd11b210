// rms_norm, swiglu, rotary and linear: what they keep and promise beyond their values, whose cases are in tests/ops.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <catch2/catch.hpp>

#include "kernels/int8_linear.h"
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

TEST_CASE("results have the type and the layout that were asked for") {
  const at::Tensor x = normal({2, 7, 33}, 1, at::kFloat), weight = normal({33}, 2, at::kFloat);
  for (const at::ScalarType out : {at::kFloat, at::kBFloat16, at::kHalf}) CHECK(rms_norm(x, weight, 1e-5, out).scalar_type() == out);
  CHECK(at::equal(rms_norm(x.to(at::kDouble), weight.to(at::kDouble), 1e-5, at::kDouble),
                  rms_norm_reference(x.to(at::kDouble), weight.to(at::kDouble), 1e-5, at::kDouble)));
  CHECK(rms_norm(at::empty({0, 8}), at::ones({8}), 1e-5, at::kFloat).sizes() == at::IntArrayRef({0, 8}));
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}) {
    const auto table = dtype == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor angle = normal({5, 8}, 5), by_token = normal({2, 5, 3, 16}, 6, dtype).transpose(1, 2);
    const at::Tensor turned = rotary(by_token, angle.cos().to(table), angle.sin().to(table));
    CHECK(turned.scalar_type() == dtype);
    // Rows by token stay so: what reads them next views them like that.
    if (dtype == at::kFloat) CHECK(turned.transpose(1, 2).is_contiguous());
    for (const at::ScalarType stored : {at::kFloat, at::kBFloat16, at::kHalf})
      if (dtype != at::kHalf) CHECK(kernels::linear(normal({3, 16}, 10, dtype), normal({4, 16}, 11, stored)).scalar_type() == dtype);
  }
}

TEST_CASE("rotary turns by the sum of two turns, and back") {
  const at::Tensor x = normal({1, 2, 4, 8}, 7), angle = normal({4, 4}, 8), other = normal({4, 4}, 9);
  const auto turn = [](const at::Tensor& y, const at::Tensor& by) { return rotary(y, by.cos(), by.sin()); };
  CHECK(mean_square_error(turn(turn(x, angle), other), turn(x, angle + other)) < 1e-28);
  CHECK(mean_square_error(turn(turn(x, angle), -angle), x) < 1e-28);
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

TEST_CASE("several weights at once give the bits of each apart, on any number of threads") {
  const std::int64_t outs[] = {50, 16, 7, 700};
  const int before = at::get_num_threads();
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    for (const std::int64_t rows : {0, 1, 3, 4, 5, 8, 9}) {
      for (const at::ScalarType stored : {at::kFloat, at::kBFloat16, at::kHalf, at::kChar}) {
        INFO(threads << " threads, " << rows << " rows, " << stored);
        const at::Tensor x = normal({rows, 96}, 40, at::kFloat);
        std::vector<at::Tensor> weights, biases;
        std::vector<Int8Weight> rounded;
        for (const std::int64_t out : outs) {
          weights.push_back(normal({out, 96}, 41, stored == at::kChar ? at::kFloat : stored));
          rounded.push_back(rounded_to_int8(weights.back()));
          biases.push_back(out == 16 ? normal({out}, 42, at::kFloat) : at::Tensor());
        }
        const std::vector<at::Tensor> each = stored == at::kChar ? linear_each(x, rounded, biases) : linear_each(x, weights, biases);
        REQUIRE(each.size() == weights.size());
        for (std::size_t i = 0; i < each.size(); ++i) {
          at::set_num_threads(1);
          const at::Tensor apart = stored == at::kChar ? kernels::linear(x, rounded[i], biases[i]) : kernels::linear(x, weights[i], biases[i]);
          at::set_num_threads(threads);
          if (rows <= 4) CHECK(at::equal(each[i], apart));
          else CHECK(mean_square_error(each[i], apart) < 1e-12);
        }
      }
    }
  }
  at::set_num_threads(before);
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
