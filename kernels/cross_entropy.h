#pragma once
#include <ATen/core/Tensor.h>
namespace uio::kernels {
struct CrossEntropy { at::Tensor loss; at::Tensor log_probabilities; };
CrossEntropy cross_entropy(const at::Tensor& rows, const at::Tensor& head, const at::Tensor& targets, const at::Tensor& weights);
CrossEntropy cross_entropy_soft(const at::Tensor& rows, const at::Tensor& head, const at::Tensor& teacher_rows, const at::Tensor& teacher_head, const at::Tensor& weights);
}  // namespace uio::kernels
