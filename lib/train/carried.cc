#include "train/carried.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

namespace uio {

void Carried::put(std::int64_t s, const Tensors& seen) {
  if (values_.empty()) {
    for (const at::Tensor& tensor : seen) {
      std::vector<std::int64_t> shape = tensor.sizes().vec();
      shape[kMemoryAxis] = memories_ * slots_;
      values_.push_back(at::empty(shape, tensor.options()));
    }
  }
  for (std::size_t i = 0; i < seen.size(); ++i) values_[i].narrow(kMemoryAxis, s * slots_, slots_).copy_(seen[i].detach());
}

Tensors Carried::leaves(std::int64_t n) const {
  Tensors joined(values_.size());
  for (std::size_t i = 0; n > 0 && i < values_.size(); ++i) joined[i] = values_[i].narrow(kMemoryAxis, 0, n * slots_).detach().requires_grad_();
  return joined;
}

Tensors Carried::part(const Tensors& joined, std::int64_t s) const {
  Tensors one;
  for (const at::Tensor& tensor : joined) one.push_back(tensor.narrow(kMemoryAxis, s * slots_, slots_));
  return one;
}

Tensors Carried::zeros() const {
  Tensors none;
  for (const at::Tensor& tensor : values_) none.push_back(at::zeros_like(tensor.narrow(kMemoryAxis, 0, slots_), at::MemoryFormat::Contiguous));
  return none;
}

LossOnLeaves loss_on_leaves(Recurrence& document, std::int64_t j, const Carried& carried, std::int64_t n) {
  const Tensors leaves = carried.leaves(n);
  const at::Tensor loss = document.loss(j, leaves);
  backward({loss}, {at::ones_like(loss)});
  LossOnLeaves result{loss.item<double>(), {}};
  for (const at::Tensor& leaf : leaves)
    if (leaf.defined()) result.cotangents.push_back(leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf));
  return result;
}

void add(Tensors& into, const Tensors& from, double scale) {
  const at::NoGradGuard no_gradients;
  for (std::size_t i = 0; i < into.size(); ++i) into[i].add_(from[i], scale);
}

void backward(const Tensors& outputs, const Tensors& cotangents) {
  Tensors roots, seeds;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i].requires_grad()) continue;
    roots.push_back(outputs[i]);
    seeds.push_back(cotangents[i]);
  }
  if (!roots.empty()) torch::autograd::backward(roots, seeds);
}

at::Tensor pull_back(const Tensors& seen, const Tensors& cotangents, const at::Tensor& memory) {
  return torch::autograd::grad(seen, {memory}, cotangents).front();
}

}  // namespace uio
