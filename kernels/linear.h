// Products of activations with weights that may be stored narrower than they are computed.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

namespace uio::kernels {

// y = x Wᵀ (+ bias). x [rows, in], weight [out, in], bias [out] or undefined; y [rows, out] of x's dtype.
// Where weight's dtype differs from x's (bf16 or f16 weights with f32 activations, on CPUs without bf16 products) the weight is widened:
// few rows read it once through the row kernel, many rows through a reused f32 scratch and one sgemm.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});
// linear() of the same rows with each of several weights [out_i, in] and its bias: the same bits as apart, and few rows share one pass of the threads.
std::vector<at::Tensor> linear_each(const at::Tensor& x, std::span<const at::Tensor> weights, std::span<const at::Tensor> biases);
// The plain composition: widen, then at::linear.
at::Tensor linear_reference(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

}  // namespace uio::kernels
