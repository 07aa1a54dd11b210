// Gradients of rms_norm, swiglu and rotary: the fused passes against the plain compositions in double.
#include "unit/kernels/gradients.h"

#include <catch2/catch.hpp>

#include "kernels/rms_norm.h"
#include "kernels/rotary.h"
#include "kernels/swiglu.h"

namespace uio::kernels {
namespace {

using test::check_differences;
using test::check_gradients;
using test::leaf;
using test::normal;
using Inputs = std::vector<at::Tensor>;


TEST_CASE("gradient of rms_norm") {
  const auto op = [](const Inputs& in) { return rms_norm(in[0], in[1], 1e-5, at::kFloat); };
  const auto plain = [](const Inputs& in) { return rms_norm_reference(in[0], in[1], 1e-5, at::kDouble); };
  // A row of one number normalises to ±1: its gradient is what epsilon leaves of a difference of equals, not a matter of 1e-5.
  for (const std::int64_t n : {3, 5, 16, 33, 96, 512})
    for (const std::int64_t rows : {1, 7, 128, 301}) {
      INFO(rows << " rows of " << n);
      const at::Tensor x = 3 * normal({rows, n}, 1), weight = normal({n}, 2);
      check_gradients(op, plain, {leaf(x), leaf(weight)}, 1e-5);
      check_gradients(op, plain, {leaf(x), weight}, 1e-5);
      check_gradients(op, plain, {x, leaf(weight)}, 1e-5);
    }
  const at::Tensor x = normal({3, 2, 6}, 3);
  check_gradients(op, plain, {leaf(x.transpose(0, 1)), leaf(normal({6}, 4))}, 1e-5);  // rows that do not lie side by side
  check_differences([](const Inputs& in) { return rms_norm(in[0], in[1], 1e-5, at::kDouble); },
                    {leaf(x), leaf(normal({6}, 4))});
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

TEST_CASE("gradient of swiglu") {
  // A gate that asks for no gradient may be written over.
  const auto op = [](const Inputs& in) { return swiglu(in[0].requires_grad() ? in[0] : in[0].clone(), in[1]); };
  const auto plain = [](const Inputs& in) { return swiglu_reference(in[0], in[1]); };
  for (const std::int64_t n : {1, 8, 30, 257, 9001}) {
    INFO(n);
    const at::Tensor gate = 3 * normal({5, n}, 8), up = normal({5, n}, 9);
    check_gradients(op, plain, {leaf(gate), leaf(up)}, 1e-5);
    check_gradients(op, plain, {leaf(gate), up}, 1e-5);
    check_gradients(op, plain, {gate, leaf(up)}, 1e-5);
    check_gradients(op, plain, {leaf(gate), leaf(up)}, 2e-2, at::kBFloat16);
    check_gradients(op, plain, {leaf(gate.t()), leaf(up.t())}, 1e-5);
  }
  // Where e^x does not fit f32 the gradient is that of 0, or of the gate itself.
  const at::Tensor far = leaf(at::tensor({-200.0, -90.0, -30.0, 0.0, 30.0, 90.0, 200.0, 1.0, 2.0}).to(at::kDouble)),
                   up = leaf(normal({9}, 10));
  check_gradients(op, plain, {far, up}, 1e-5);
  check_differences(op, {leaf(normal({2, 3}, 11)), leaf(normal({2, 3}, 12))});
}

TEST_CASE("gradient of rotary") {
  const auto op = [](const Inputs& in) {
    const auto table = in[0].scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    return rotary(in[0], in[1].to(table), in[2].to(table));
  };
  const auto plain = [](const Inputs& in) { return rotary_reference(in[0], in[1], in[2]); };
  for (const std::int64_t size : {2, 6, 16, 20, 64, 100}) {
    INFO(size);
    const at::Tensor angle = normal({5, size / 2}, 13), x = normal({2, 5, 3, size}, 14);
    check_gradients(op, plain, {leaf(x.transpose(1, 2)), angle.cos(), angle.sin()}, 1e-5);
    check_gradients(op, plain, {leaf(x.transpose(1, 2).contiguous()), angle.cos(), angle.sin()}, 1e-5);
    check_gradients(op, plain, {leaf(x.transpose(1, 2)), angle.cos(), angle.sin()}, 2e-2, at::kBFloat16);
    // Part of a longer row of tokens, and components that do not lie side by side.
    check_gradients(op, plain, {leaf(normal({2, 3, 9, size}, 15).narrow(2, 2, 5)), angle.cos(), angle.sin()}, 1e-5);
    check_gradients(op, plain, {leaf(normal({2, 3, size, 5}, 16).transpose(2, 3)), angle.cos(), angle.sin()}, 1e-5);
  }
  const at::Tensor angle = normal({3, 2}, 17);
  check_differences(op, {leaf(normal({1, 2, 3, 4}, 18)), angle.cos(), angle.sin()});
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
