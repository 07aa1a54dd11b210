// Rotary embedding of rows: the op, its plain composition, and which one runs.
#pragma once

#include <ATen/core/Tensor.h>

namespace uio::kernels {

// Cosines and sines of one position, [d/2] each.
struct Angles {
  const float *cosine, *sine;
};

// x [..., T, d]; cosine, sine [T, d/2] f32 (f64 for f64 x). Component j is paired with j + d/2. Returns a new tensor shaped and typed
// like x, laid out like x.contiguous() unless x is a [B, H, T, d] view of [B, T, H, d] rows, whose layout is kept. Computed in f32.
// Differentiable in x, with the bits of the value without a gradient.
at::Tensor rotary(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine);
// The plain composition: oracle, fallback, differentiable.
at::Tensor rotary_reference(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine);

}  // namespace uio::kernels
