// The ops of kernels/, each with its cases and with what it costs, in one place: tests/ops/ops.cc walks through them.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace uio::ops {

using Tensors = std::vector<at::Tensor>;
using Run = std::function<at::Tensor(const Tensors&)>;

// One input: its numbers in f64 (or integers, or booleans), and the type in which the op takes them.
struct Input {
  at::Tensor value;  // asks for a gradient where the op has one for it
  at::ScalarType dtype;
};

struct Case {
  std::string name;  // shapes, and what is special about it
  std::function<std::vector<Input>()> inputs;
  Run run;           // the op, on inputs in their types
  Run slow;          // the same by the definition, on inputs in f64
  double bound;      // of the mean square of the difference over that of what is expected
  double slope_bound = 0;        // of the gradients: largest difference over largest value; 0: none are looked at
  bool by_differences = false;   // few enough numbers to move each of them, in f64
  bool any_threads = true;       // the gradients' bits do not depend on the number of threads
};

// A case that is timed: one run, and what it cannot do without.
struct Cost {
  std::string name;
  std::function<Tensors()> inputs;  // in their types
  Run run;
  double bytes;                     // read and written once
  double flops;                     // of products of matrices; 0 where there are none
  at::ScalarType products = at::kFloat;  // what they are computed in
};

struct OpCases {
  std::string name;
  std::vector<Case> cases;
  std::vector<Cost> costs;
};

OpCases rms_norm_cases();
OpCases add_rms_norm_cases();
OpCases swiglu_cases();
OpCases rotary_cases();
OpCases linear_cases();
OpCases int8_linear_cases();
OpCases attention_cases();
OpCases cross_entropy_cases();
OpCases cross_entropy_soft_cases();
OpCases quantise_cases();

inline std::vector<OpCases> op_table() {
  return {rms_norm_cases(),  add_rms_norm_cases(), swiglu_cases(),           rotary_cases(),  linear_cases(), int8_linear_cases(),
          attention_cases(), cross_entropy_cases(), cross_entropy_soft_cases(), quantise_cases()};
}

}  // namespace uio::ops
