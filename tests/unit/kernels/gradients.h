// What the tests of differentiable kernels have in common: gradients by autograd, by differences, on one thread and on two.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <vector>

#include "unit/kernels/compare.h"

namespace uio::test {

using Op = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

struct Derived {
  at::Tensor value;
  std::vector<at::Tensor> slopes;  // of the inputs that ask for one
};

inline at::Tensor leaf(const at::Tensor& x) { return x.detach().requires_grad_(true); }

// The op's value and the gradients of Σ slope · value; `slope` has the value's shape.
inline Derived derive(const Op& op, const std::vector<at::Tensor>& inputs, const at::Tensor& slope, at::ScalarType dtype) {
  std::vector<at::Tensor> leaves, wanted;
  for (const at::Tensor& input : inputs) {
    // Converted without a change of layout, so that views stay views.
    at::Tensor one = input.is_floating_point() ? input.detach().to(dtype).requires_grad_(input.requires_grad()) : input;
    leaves.push_back(one);
    if (one.requires_grad()) wanted.push_back(one);
  }
  const at::Tensor value = op(leaves);
  return {value.detach(), torch::autograd::grad({value}, wanted, {slope.to(value.scalar_type())})};
}

// The greatest difference over the greatest value expected.
inline double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  if (found.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  if (expected.numel() == 0) return 0;
  const at::Tensor a = found.to(at::kDouble), b = expected.to(at::kDouble);
  const double error = (a - b).abs().max().item<double>();
  return std::isfinite(error) ? error / std::max(b.abs().max().item<double>(), 1e-30) : std::numeric_limits<double>::infinity();
}

// Checks `op` in f32 against `plain` in f64, that nothing recorded gives the same bits, and that one thread gives the same bits
// as two.
inline void check_gradients(const Op& op, const Op& plain, const std::vector<at::Tensor>& inputs, double bound,
                            at::ScalarType dtype = at::kFloat) {
  std::vector<at::Tensor> rounded;
  for (const at::Tensor& input : inputs)
    rounded.push_back(input.is_floating_point() ? input.detach().to(dtype).to(at::kDouble).requires_grad_(input.requires_grad())
                                                : input);
  at::Tensor slope;
  {
    const at::NoGradGuard nothing;
    slope = normal(plain(rounded).sizes(), 99).to(dtype).to(at::kDouble);
  }
  const Derived exact = derive(plain, rounded, slope, at::kDouble), fast = derive(op, rounded, slope, dtype);
  CHECK(relative_error(fast.value, exact.value) < bound);
  REQUIRE(fast.slopes.size() == exact.slopes.size());
  for (std::size_t i = 0; i < exact.slopes.size(); ++i) {
    INFO("gradient " << i);
    CHECK(fast.slopes[i].scalar_type() == dtype);
    CHECK(relative_error(fast.slopes[i], exact.slopes[i]) < bound);
  }
  const int before = at::get_num_threads();
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    const Derived again = derive(op, rounded, slope, dtype);
    CHECK(at::equal(again.value, fast.value));
    for (std::size_t i = 0; i < exact.slopes.size(); ++i) CHECK(at::equal(again.slopes[i], fast.slopes[i]));
  }
  at::set_num_threads(before);
  const at::NoGradGuard nothing;
  std::vector<at::Tensor> unrecorded;
  for (const at::Tensor& input : rounded)
    unrecorded.push_back(input.is_floating_point() ? input.detach().to(dtype).requires_grad_(input.requires_grad()) : input);
  CHECK(at::equal(op(unrecorded), fast.value));
  for (std::size_t i = 0; i < rounded.size(); ++i)  // nobody's tensor was written to
    CHECK(at::equal(unrecorded[i], rounded[i].is_floating_point() ? rounded[i].detach().to(dtype) : rounded[i]));
}

// Gradients in double against central differences, element by element.
inline void check_differences(const Op& op, const std::vector<at::Tensor>& inputs) {
  at::Tensor slope;
  {
    const at::NoGradGuard nothing;
    slope = normal(op(inputs).sizes(), 98);
  }
  const Derived found = derive(op, inputs, slope, at::kDouble);
  const at::NoGradGuard nothing;
  std::size_t which = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].requires_grad()) continue;
    const at::Tensor expected = at::empty(inputs[i].sizes(), at::kDouble), flat = expected.view(-1);
    for (std::int64_t j = 0; j < flat.numel(); ++j) {
      constexpr double kStep = 1e-5;
      double sides[2];
      for (const int side : {0, 1}) {
        std::vector<at::Tensor> moved = inputs;
        moved[i] = inputs[i].detach().clone(at::MemoryFormat::Contiguous);
        moved[i].view(-1)[j] += side ? kStep : -kStep;
        sides[side] = (op(moved) * slope).sum().item<double>();
      }
      flat[j] = (sides[1] - sides[0]) / (2 * kStep);
    }
    INFO("input " << i);
    CHECK(relative_error(found.slopes[which++], expected) < 1e-7);
  }
}

}  // namespace uio::test
