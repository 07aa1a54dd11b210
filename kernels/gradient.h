// When an op must leave something for a backward pass.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

namespace uio::kernels {

// True if autograd would record an op of these tensors. Undefined ones count for nothing.
template <typename... Tensors>
bool is_recorded(const Tensors&... tensors) {
  return at::GradMode::is_enabled() && (... || (tensors.defined() && tensors.requires_grad()));
}

}  // namespace uio::kernels
