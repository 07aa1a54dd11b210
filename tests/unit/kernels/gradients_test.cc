// Gradients of rms_norm, swiglu and rotary beyond the cases of tests/ops.
#include "unit/kernels/gradients.h"

#include <catch2/catch.hpp>

#include "kernels/rms_norm.h"
#include "kernels/rotary.h"
#include "kernels/swiglu.h"

namespace uio::kernels {
namespace {

using test::check_gradients;
using test::leaf;
using test::normal;
using Inputs = std::vector<at::Tensor>;

TEST_CASE("gradients of some inputs only") {
  const auto norm = [](const Inputs& in) { return rms_norm(in[0], in[1], 1e-5, at::kFloat); };
  const auto plain_norm = [](const Inputs& in) { return rms_norm_reference(in[0], in[1], 1e-5, at::kDouble); };
  const auto gate = [](const Inputs& in) { return swiglu(in[0].requires_grad() ? in[0] : in[0].clone(), in[1]); };
  const auto plain_gate = [](const Inputs& in) { return swiglu_reference(in[0], in[1]); };
  for (const std::int64_t n : {3, 33, 512}) {
    INFO(n);
    const at::Tensor x = 3 * normal({301, n}, 1), weight = normal({n}, 2), up = normal({301, n}, 9);
    check_gradients(norm, plain_norm, {leaf(x), weight}, 1e-5);
    check_gradients(norm, plain_norm, {x, leaf(weight)}, 1e-5);
    check_gradients(gate, plain_gate, {leaf(x), up}, 1e-5);
    check_gradients(gate, plain_gate, {x, leaf(up)}, 1e-5);
  }
}

TEST_CASE("gradient of rms_norm in bfloat16") {
  // The output is narrowed, and so is the gradient that arrives; x and its gradient stay f32.
  const at::Tensor x = leaf(normal({40, 48}, 5, at::kFloat)), weight = leaf(normal({48}, 6, at::kFloat));
  const at::Tensor slope = normal({40, 48}, 7, at::kBFloat16);
  const at::Tensor out = rms_norm(x, weight, 1e-5, at::kBFloat16);
  const auto found = torch::autograd::grad({out}, {x, weight}, {slope});
  const at::Tensor exact = rms_norm_reference(x.to(at::kDouble), weight.to(at::kDouble), 1e-5, at::kDouble);
  const auto expected = torch::autograd::grad({exact}, {x, weight}, {slope.to(at::kDouble)});
  for (const int i : {0, 1})
    CHECK(test::relative_error(found[static_cast<std::size_t>(i)], expected[static_cast<std::size_t>(i)]) < 1e-5);
  const at::NoGradGuard nothing;
  CHECK(at::equal(rms_norm(x, weight, 1e-5, at::kBFloat16), out));
}

TEST_CASE("add_rms_norm has the bits of the two steps, values and gradients, whichever result is used") {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
    for (const std::int64_t n : {3, 48, 130}) {
      const at::Tensor x = leaf(normal({40, n}, 5, at::kFloat)), added = leaf(normal({40, n}, 8, type)), weight = leaf(normal({n}, 6, at::kFloat));
      const at::Tensor sum_slope = normal({40, n}, 9, at::kFloat), slope = normal({40, n}, 7, type);
      const AddedNorm both = add_rms_norm(x, added, weight, 1e-5, type);
      const at::Tensor sum = x + added, normed = rms_norm(sum, weight, 1e-5, type);
      CHECK(at::equal(both.sum, sum));
      CHECK(at::equal(both.normed, normed));
      const auto check = [&](const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& expected, const std::vector<at::Tensor>& slopes, std::size_t inputs) {
        std::vector<at::Tensor> wanted = {x, added, weight};
        wanted.resize(inputs);
        const auto ours = torch::autograd::grad(found, wanted, slopes, true), theirs = torch::autograd::grad(expected, wanted, slopes, true);
        for (std::size_t i = 0; i < inputs; ++i) CHECK(at::equal(ours[i], theirs[i]));
      };
      check({both.sum, both.normed}, {sum, normed}, {sum_slope, slope}, 3);
      check({both.normed}, {normed}, {slope}, 3);
      check({both.sum}, {sum}, {sum_slope}, 2);
      const at::NoGradGuard nothing;
      const AddedNorm again = add_rms_norm(x, added, weight, 1e-5, type);
      CHECK(at::equal(again.sum, both.sum));
      CHECK(at::equal(again.normed, both.normed));
    }
}

TEST_CASE("a gradient that is the same everywhere") {
  // sum() sends one number back, spread over the shape with strides of 0.
  const at::Tensor x = leaf(normal({1, 2, 5, 8}, 19, at::kFloat)), angle = normal({5, 4}, 20, at::kFloat);
  rotary(x, angle.cos(), angle.sin()).sum().backward();
  const at::Tensor back = rotary_reference(at::ones({1, 2, 5, 8}), angle.cos(), -angle.sin());
  CHECK(test::relative_error(x.grad(), back) < 1e-6);
  const at::Tensor y = leaf(normal({4, 8}, 21, at::kFloat)), z = leaf(y.to(at::kDouble));
  swiglu(rms_norm(y, at::ones({8}), 1e-5, at::kFloat), y).sum().backward();
  swiglu_reference(rms_norm_reference(z, at::ones({8}), 1e-5, at::kDouble), z).sum().backward();
  CHECK(test::relative_error(y.grad(), z.grad()) < 1e-5);
}

TEST_CASE("nothing to derive") {
  const at::Tensor x = leaf(at::empty({0, 8})), weight = leaf(at::ones({8}));
  rms_norm(x, weight, 1e-5, at::kFloat).sum().backward();
  CHECK(x.grad().sizes() == at::IntArrayRef({0, 8}));
  CHECK(at::equal(weight.grad(), at::zeros({8})));
}

TEST_CASE("the plain compositions are what runs when they are forced") {
  const test::ForceReference plain;
  const at::Tensor x = leaf(normal({3, 8}, 22, at::kFloat));
  const at::Tensor y = rms_norm(x, at::ones({8}), 1e-5, at::kFloat);
  CHECK(at::equal(y, rms_norm_reference(x, at::ones({8}), 1e-5, at::kFloat)));
}

}  // namespace
}  // namespace uio::kernels
