// Encoder backwards drawn in proportion to how much depends on them (algorithm notes 16.10): all cotangents are computed, exactly;
// of the encoders only `reservoir` draws are run again, each weighted by the inverse of its expected number.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <map>

#include "train/carried.h"
#include "train/estimators.h"

namespace uio {

double estimate_importance(Recurrence& document, const EstimatorSettings& settings, Draws& draws) {
  const std::int64_t count = document.memories();
  const auto visible = document.visible();
  Carried carried(document);
  Tensors memories;
  std::vector<Tensors> cotangents;
  double total = 0;
  std::size_t j = 0;
  for (std::int64_t n = 0; n <= count; ++n) {
    for (; j < visible.size() && visible[j] == n; ++j) {
      const LossOnLeaves loss = loss_on_leaves(document, static_cast<std::int64_t>(j), carried, n);
      total += loss.value;
      for (std::int64_t s = 0; s < n; ++s) add(cotangents[static_cast<std::size_t>(s)], carried.part(loss.cotangents, s));
    }
    if (n == count) break;
    const at::NoGradGuard no_gradients;
    memories.push_back(document.encode(n, {}));
    carried.put(n, document.transfer(n, memories.back()));
    cotangents.push_back(carried.zeros());
  }

  // Through the head: φ's gradient, and each memory's cotangent ā_s with its norm.
  Tensors memory_cotangents;
  std::vector<double> probabilities;
  double sum = 0;
  for (std::int64_t s = 0; s < count; ++s) {
    const at::Tensor leaf = memories[static_cast<std::size_t>(s)].detach().requires_grad_();
    backward(document.transfer(s, leaf), cotangents[static_cast<std::size_t>(s)]);
    memory_cotangents.push_back(leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf));
    probabilities.push_back(memory_cotangents.back().to(at::kDouble).norm().item<double>());
    sum += probabilities.back();
  }
  if (sum == 0) return total;  // nothing depends on any memory
  for (double& p : probabilities) p /= sum;

  std::map<std::int64_t, int> drawn;
  for (std::int64_t draw = 0; draw < settings.reservoir; ++draw) ++drawn[draws.weighted(probabilities)];
  for (const auto& [s, times] : drawn) {
    const double weight = times / (static_cast<double>(settings.reservoir) * probabilities[static_cast<std::size_t>(s)]);
    backward({document.encode(s, {})}, {memory_cotangents[static_cast<std::size_t>(s)] * weight});
  }
  return total;
}

}  // namespace uio
