// The losses of a language model's head: product with the head, log-softmax and weighted sum in one op, over chunks of rows, so
// that the logits of all rows never exist at once. The gradient's chunks are computed with the loss, from the same logits (as
// "classifier" kernels do: libtorch.md 5), and only scaled in the backward pass.
#pragma once

#include <ATen/core/Tensor.h>

namespace uio::kernels {

struct CrossEntropy {
  at::Tensor loss;               // scalar: f64 where rows are f64, else f32; summed in f64
  at::Tensor log_probabilities;  // [R], of loss's dtype, not differentiable: log softmax(rows_r headᵀ)[target_r], 0 where the
                                 // weight is 0
};

// loss = Σ_r weights_r · −log softmax(rows_r headᵀ)[targets_r]. rows [R, D]; head [V, D], any float dtype; targets [R] int64;
// weights [R] f32 or f64. Differentiable in rows and head. Rows of weight 0 cost nothing and their targets may be anything.
// f32 rows on the CPU: loss and gradients do not depend on the number of threads. Throws Error{kMismatch} for a target outside
// [0, V), Error{kInternal} where shapes differ.
CrossEntropy cross_entropy(const at::Tensor& rows, const at::Tensor& head, const at::Tensor& targets,
                           const at::Tensor& weights);

// loss = Σ_r weights_r · KL(softmax(teacher_rows_r teacher_headᵀ) ‖ softmax(rows_r headᵀ)), in nats: a scalar as above.
// teacher_rows [R, Dt], teacher_head [V, Dt]. Differentiable in rows and head only. Logits must be finite.
at::Tensor cross_entropy_soft(const at::Tensor& rows, const at::Tensor& head, const at::Tensor& teacher_rows,
                              const at::Tensor& teacher_head, const at::Tensor& weights);

}  // namespace uio::kernels
