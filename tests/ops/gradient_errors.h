// What is wrong with an op's gradients: against the plain one in f64, by differences, on one thread and on two. Empty where nothing is.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "unit/kernels/compare.h"

namespace uio::test {

using Op = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

struct Derived {
  at::Tensor value;
  std::vector<at::Tensor> slopes;  // of the inputs that ask for one
};

inline at::Tensor leaf(const at::Tensor& x) { return x.detach().requires_grad_(true); }

// A leaf of another type, without a change of layout, so that views stay views. Integers stay what they are.
inline at::Tensor converted(const at::Tensor& x, at::ScalarType dtype) {
  return x.is_floating_point() ? x.detach().to(dtype).requires_grad_(x.requires_grad()) : x;
}

// The op's value and the gradients of Σ slope · value; `slope` has the value's shape. `inputs` are leaves.
inline Derived derive_at(const Op& op, const std::vector<at::Tensor>& inputs, const at::Tensor& slope) {
  std::vector<at::Tensor> wanted;
  for (const at::Tensor& input : inputs)
    if (input.requires_grad()) wanted.push_back(input);
  const at::Tensor value = op(inputs);
  return {value.detach(), torch::autograd::grad({value}, wanted, {slope.to(value.scalar_type())})};
}

// The same with all inputs of one type.
inline Derived derive(const Op& op, const std::vector<at::Tensor>& inputs, const at::Tensor& slope, at::ScalarType dtype) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : inputs) leaves.push_back(converted(input, dtype));
  return derive_at(op, leaves, slope);
}

// The greatest difference over the greatest value expected.
inline double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  if (found.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  if (expected.numel() == 0) return 0;
  const at::Tensor a = found.to(at::kDouble), b = expected.to(at::kDouble);
  const double error = (a - b).abs().max().item<double>();
  return std::isfinite(error) ? error / std::max(b.abs().max().item<double>(), 1e-30) : std::numeric_limits<double>::infinity();
}

// `op` on inputs of the types `dtypes` against `plain` in f64 on the same numbers; that nothing recorded gives the same bits, one thread
// the same as two (`any_threads`), and that nobody's tensor was written to.
inline std::string gradient_error(const Op& op, const Op& plain, const std::vector<at::Tensor>& inputs, const std::vector<at::ScalarType>& dtypes,
                                  double bound, bool any_threads = true) {
  std::vector<at::Tensor> wide, narrow;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    narrow.push_back(converted(inputs[i], dtypes[i]));
    wide.push_back(converted(narrow[i], at::kDouble));
  }
  std::vector<at::Tensor> unrecorded;
  for (const at::Tensor& x : narrow) unrecorded.push_back(x.is_floating_point() ? x.detach().clone().requires_grad_(x.requires_grad()) : x);
  at::Tensor slope, value;
  {
    const at::NoGradGuard nothing;
    value = op(unrecorded);
    slope = normal(value.sizes(), 99).to(value.scalar_type()).to(at::kDouble);
    for (std::size_t i = 0; i < narrow.size(); ++i)
      if (!at::equal(unrecorded[i], narrow[i])) return "input " + std::to_string(i) + " was written to";
  }
  const Derived exact = derive_at(plain, wide, slope), fast = derive_at(op, narrow, slope);
  if (!at::equal(value, fast.value)) return "the value has other bits where nothing is recorded";
  const double rounding = value.scalar_type() == at::kBFloat16 ? 1e-2 : 0;  // of the value itself
  if (const double error = relative_error(fast.value, exact.value); !(error < std::max(bound, rounding))) return "the value is off by " + std::to_string(error);
  std::size_t which = 0;
  for (std::size_t i = 0; i < narrow.size(); ++i) {
    if (!narrow[i].requires_grad()) continue;
    const std::string name = "the gradient of input " + std::to_string(i);
    if (fast.slopes[which].scalar_type() != narrow[i].scalar_type()) return name + " has another type";
    if (const double error = relative_error(fast.slopes[which], exact.slopes[which]); !(error < bound)) return name + " is off by " + std::to_string(error);
    ++which;
  }
  if (!any_threads) return "";
  const int before = at::get_num_threads();
  std::string wrong;
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    const Derived again = derive_at(op, narrow, slope);
    bool is_same = at::equal(again.value, fast.value);
    for (std::size_t i = 0; i < exact.slopes.size(); ++i) is_same = is_same && at::equal(again.slopes[i], fast.slopes[i]);
    if (!is_same) wrong = std::to_string(threads) + " threads give other bits";
  }
  at::set_num_threads(before);
  return wrong;
}

// Gradients in f64 against central differences, number by number.
inline std::string difference_error(const Op& op, const std::vector<at::Tensor>& inputs) {
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
    const double error = relative_error(found.slopes[which++], expected);
    if (!(error < 1e-7)) return "the gradient of input " + std::to_string(i) + " is off by " + std::to_string(error) + " from differences";
  }
  return "";
}

}  // namespace uio::test
