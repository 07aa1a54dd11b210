// Root-mean-square layer normalisation (arXiv 1910.07467) of rows.
#pragma once

#include <ATen/core/Tensor.h>

namespace uio::kernels {

// x [..., n] f32 or f64, weight [n] of x's dtype; out = x / sqrt(mean(x²) + epsilon) · weight, in `dtype`.
// Differentiable in x and weight; the value has the same bits whether a gradient is asked for or not (f32 and bf16 on the CPU).
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType dtype);
at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType dtype);

// The same of a sum, which is kept: where a layer's residual stream takes up what a part of the layer found.
struct AddedNorm {
  at::Tensor sum;     // x + added, of x's dtype
  at::Tensor normed;  // rms_norm of the sum
};
// x, added [..., n] of one shape; added f32, f64, bf16 or f16. Both results are differentiable in x, added and weight, and have the bits
// of x + added and then rms_norm; so have the gradients.
AddedNorm add_rms_norm(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight, double epsilon, at::ScalarType dtype);
AddedNorm add_rms_norm_reference(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight, double epsilon, at::ScalarType dtype);

}  // namespace uio::kernels
