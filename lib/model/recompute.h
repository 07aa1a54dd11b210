// Activations that are computed again instead of kept: a step of a forward pass keeps its inputs only, and its backward runs it once
// more (Chen et al. 2016, arXiv 1604.06174). Values and gradients are those of the plain pass, to the bit.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace uio {

// A pure function of three tensors (undefined ones are passed on) and of parameters that outlive the backward pass.
using Step = std::function<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&)>;

// step(a, b, c). Inside a RecomputeScope that asks for it, and where gradients are recorded, only a, b and c are kept.
// The backward pass then adds to the .grad of every leaf that the step reaches: it must be run with backward(), not grad(inputs).
at::Tensor recompute(const Step& step, const at::Tensor& a, const at::Tensor& b = {}, const at::Tensor& c = {});

// Says for this thread, while it lives, whether recompute() keeps inputs only.
class RecomputeScope {
 public:
  explicit RecomputeScope(bool asked);
  ~RecomputeScope();
  RecomputeScope(const RecomputeScope&) = delete;
  RecomputeScope& operator=(const RecomputeScope&) = delete;

 private:
  bool before_;
};

}  // namespace uio
