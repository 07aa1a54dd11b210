// Products of activations with weights that are kept as 8-bit whole numbers: a token of generation reads half the bytes of bf16.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "kernels/weight_memory.h"

namespace uio::kernels {

// Row o of the weight is about scales[o] · values[o, :]; off by at most scales[o] / 2 in each number.
struct Int8Weight {
  at::Tensor values, scales;  // int8 [out, in], f32 [out]; contiguous
};

// The nearest of a weight [out, in] of any floating dtype, on its device, on the CPU in `memory` if there is one. Rows that are not finite have scale NaN.
Int8Weight rounded_to_int8(const at::Tensor& weight, WeightMemory* memory = nullptr);

// y = x Wᵀ (+ bias). x [rows, in] of any floating dtype, on the weight's device, bias [out] or undefined; y [rows, out] of x's dtype; no
// gradients. Of few rows on the CPU the activations are rounded too, to 13 bits of the row's largest, and the sums are exact.
at::Tensor linear(const at::Tensor& x, const Int8Weight& weight, const at::Tensor& bias = {});
// linear() of the same rows with each of several weights and its bias: the same bits as apart, and few rows share one pass of the threads.
std::vector<at::Tensor> linear_each(const at::Tensor& x, std::span<const Int8Weight> weights, std::span<const at::Tensor> biases);
// The plain composition: widen, then at::linear.
at::Tensor linear_reference(const at::Tensor& x, const Int8Weight& weight, const at::Tensor& bias = {});

}  // namespace uio::kernels
