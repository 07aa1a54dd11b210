#include "train/parameters.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"

namespace uio {

Trainable trainable_named(const std::string& name) {
  if (name == "adapter") return Trainable::kAdapter;
  if (name == "full") return Trainable::kFull;
  if (name == "base") return Trainable::kBase;
  throw Error(ErrorKind::kUsage, "nothing of that name to train", name, "expected adapter, full or base");
}

Parameters::Parameters(Trainable trainable, Model& model, Adapter* adapter) {
  const auto residual = model.placement().residual();
  const auto take = [&](const std::string& name, at::Tensor& tensor, bool of_base) {
    tensor = tensor.detach().to(residual).clone().requires_grad_();
    const bool is_rows = name == "memory_tokens" || name == "model.embed_tokens.weight";
    const bool is_matrix = tensor.dim() > 1 && !is_rows;
    all_.push_back({name, tensor, is_matrix, is_matrix && name != "lm_head.weight", of_base});
  };
  if (trainable != Trainable::kAdapter) model.for_each_weight([&](const std::string& name, at::Tensor& tensor) { take(name, tensor, true); });
  if (trainable != Trainable::kBase && adapter)
    for_each_tensor(*adapter, [&](const std::string& name, at::Tensor& tensor) { take(name, tensor, false); });
  std::sort(all_.begin(), all_.end(), [](const Parameter& a, const Parameter& b) { return a.name < b.name; });
}

std::int64_t Parameters::values() const {
  std::int64_t sum = 0;
  for (const Parameter& one : all_) sum += one.value.numel();
  return sum;
}

void Parameters::clear_gradients() {
  for (Parameter& one : all_) one.value.mutable_grad() = at::Tensor();
}

at::Tensor Parameters::gradient(std::size_t i) const {
  const at::Tensor& value = all_[i].value;
  return value.grad().defined() ? value.grad() : at::zeros_like(value);
}

}  // namespace uio
