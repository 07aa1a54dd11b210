#include "kernels/cross_entropy.h"
#include <ATen/ATen.h>
namespace uio::kernels {
CrossEntropy cross_entropy(const at::Tensor& rows, const at::Tensor& head, const at::Tensor& targets, const at::Tensor& weights) {
  const at::Tensor logp = at::log_softmax(at::linear(rows, head.to(rows.scalar_type())), 1);
  const at::Tensor chosen = logp.gather(1, targets.unsqueeze(1)).squeeze(1);
  return {-(chosen * weights).sum(), chosen.detach()};
}
CrossEntropy cross_entropy_soft(const at::Tensor& rows, const at::Tensor& head, const at::Tensor& teacher_rows, const at::Tensor& teacher_head, const at::Tensor& weights) {
  const at::Tensor logp = at::log_softmax(at::linear(rows, head.to(rows.scalar_type())), 1);
  const at::Tensor logq = at::log_softmax(at::linear(teacher_rows, teacher_head.to(rows.scalar_type())), 1).detach();
  return {((logq.exp() * (logq - logp)).sum(1) * weights).sum(), {}};
}
}  // namespace uio::kernels
