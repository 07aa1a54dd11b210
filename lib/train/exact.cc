// The full gradient at the activation memory of one segment (algorithm notes 16.9): memories first, without graphs; then backwards
// through the document, each loss on leaves, each encoder computed again when all that reads its memory has been heard.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "train/carried.h"
#include "train/estimators.h"

namespace uio {

double estimate_exact(Recurrence& document, const EstimatorSettings&, Draws&) {
  const std::int64_t count = document.memories();
  const auto visible = document.visible();
  Tensors memories, memory_cotangents;
  Carried carried(document);
  {
    const at::NoGradGuard no_gradients;
    for (std::int64_t s = 0; s < count; ++s) {
      memories.push_back(document.encode(s, memories));
      carried.put(s, document.transfer(s, memories.back()));
    }
  }
  std::vector<Tensors> cotangents;
  for (std::int64_t s = 0; s < count; ++s) {
    cotangents.push_back(carried.zeros());
    memory_cotangents.push_back(document.is_recurrent() ? at::zeros_like(memories[static_cast<std::size_t>(s)]) : at::Tensor());
  }

  double total = 0;
  auto j = static_cast<std::int64_t>(visible.size());
  for (std::int64_t n = count; n >= 0; --n) {
    for (; j > 0 && visible[static_cast<std::size_t>(j - 1)] == n; --j) {
      const LossOnLeaves loss = loss_on_leaves(document, j - 1, carried, n);
      total += loss.value;
      for (std::int64_t s = 0; s < n; ++s) add(cotangents[static_cast<std::size_t>(s)], carried.part(loss.cotangents, s));
    }
    if (n == 0) break;
    const auto last = static_cast<std::size_t>(n - 1);  // nobody reads memory n-1 any more
    Tensors earlier;
    if (document.is_recurrent())
      for (std::size_t s = 0; s < last; ++s) earlier.push_back(memories[s].detach().requires_grad_());
    const at::Tensor memory = document.encode(n - 1, earlier);
    Tensors outputs = document.transfer(n - 1, memory), seeds = cotangents[last];
    if (document.is_recurrent()) {
      outputs.push_back(memory);
      seeds.push_back(memory_cotangents[last]);
    }
    backward(outputs, seeds);
    for (std::size_t s = 0; s < earlier.size(); ++s)
      if (earlier[s].grad().defined()) memory_cotangents[s].add_(earlier[s].grad());
    cotangents[last].clear();
  }
  return total;
}

}  // namespace uio
