// Root-mean-square layer normalisation (arXiv 1910.07467) of rows.
#pragma once

#include <ATen/core/Tensor.h>

namespace uio::kernels {

// x [..., n] f32 or f64, weight [n] of x's dtype; out = x / sqrt(mean(x²) + epsilon) · weight, in `dtype`.
// Differentiable in x and weight; the value has the same bits whether a gradient is asked for or not (f32 and bf16 on the CPU).
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType dtype);
at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType dtype);

}  // namespace uio::kernels
