// The references: back-propagation through one graph of the whole document, and through a window of it the naive way (algorithm
// notes 16.2, 16.3). Their memory grows with what they keep; they are here so that the others can be held against them.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "train/carried.h"
#include "train/estimators.h"

namespace uio {
namespace {

Tensors join(const std::vector<Tensors>& seen, std::int64_t n) {
  Tensors joined;
  for (std::size_t i = 0; n > 0 && i < seen.front().size(); ++i) {
    Tensors parts;
    for (std::int64_t s = 0; s < n; ++s) parts.push_back(seen[static_cast<std::size_t>(s)][i]);
    joined.push_back(at::cat(parts, kMemoryAxis));
  }
  return joined;
}

}  // namespace

double estimate_bptt(Recurrence& document, const EstimatorSettings&, Draws&) {
  Tensors memories;
  std::vector<Tensors> seen;
  at::Tensor total;
  const auto visible = document.visible();
  for (std::size_t j = 0; j < visible.size(); ++j) {
    for (auto s = static_cast<std::int64_t>(seen.size()); s < visible[j]; ++s) {
      memories.push_back(document.encode(s, memories));
      seen.push_back(document.transfer(s, memories.back()));
    }
    const at::Tensor loss = document.loss(static_cast<std::int64_t>(j), join(seen, visible[j]));
    total = total.defined() ? total + loss : loss;
  }
  if (!total.defined()) return 0;
  backward({total}, {at::ones_like(total)});
  return total.item<double>();
}

double estimate_tbptt(Recurrence& document, const EstimatorSettings& settings, Draws&) {
  Tensors memories;  // with their graphs while they are in the window
  double total = 0;
  const auto visible = document.visible();
  for (std::size_t j = 0; j < visible.size(); ++j) {
    const std::int64_t n = visible[j];
    for (auto s = static_cast<std::int64_t>(memories.size()); s < n; ++s) memories.push_back(document.encode(s, {}));
    for (std::int64_t s = 0; s < n - settings.window; ++s) memories[static_cast<std::size_t>(s)] = memories[static_cast<std::size_t>(s)].detach();
    std::vector<Tensors> seen;  // the head runs again on every memory for every loss: that is what makes it naive
    for (std::int64_t s = 0; s < n; ++s) seen.push_back(document.transfer(s, memories[static_cast<std::size_t>(s)]));
    const at::Tensor loss = document.loss(static_cast<std::int64_t>(j), join(seen, n));
    total += loss.item<double>();
    if (loss.requires_grad()) torch::autograd::backward({loss}, {}, /*retain_graph=*/true);
  }
  return total;
}

}  // namespace uio
