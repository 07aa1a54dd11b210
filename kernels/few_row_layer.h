// A decoder layer for few rows, whatever attention it has: its products and what lies between them in two passes of the threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "kernels/few_rows.h"

namespace uio::kernels {

// True if the functions below compute x [R, D] with weights of these dtypes, all one; otherwise the ops one by one do.
bool fits_few_rows(const at::Tensor& x, at::ScalarType computed, std::span<const RowWeight> weights);

// rms_norm(x, norm, epsilon, computed) times each weight: [R, out_i] in `computed`. The same bits as the ops one by one.
std::vector<at::Tensor> norm_linear_each(const at::Tensor& x, const at::Tensor& norm, double epsilon, at::ScalarType computed, std::span<const RowWeight> weights);

struct FeedForward {
  RowWeight output;          // of attention, [D, H·d]
  at::Tensor norm;           // [D] f32
  double epsilon = 0;
  RowWeight gate, up, down;  // [F, D], [F, D], [D, F]
};
// What follows attention, whose output is `attended` [R, H·d] in f32 or bf16: m = x + output(attended), then m + down(swiglu(gate(n), up(n))) of n, the norm
// of m. [R, D] f32, the same bits as the ops one by one.
at::Tensor finish_few_rows(const at::Tensor& x, const at::Tensor& attended, const FeedForward& layer);

}  // namespace uio::kernels
