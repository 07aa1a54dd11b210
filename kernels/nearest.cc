// Ladder: (1) a composition, and the oracle of far_search.cc, which ships where keys are on the CPU. Keys are scored a block at a time and the best so far kept, so that no [T, S] matrix exists; the values of the
// best are gathered, and one softmax is taken over their scores and those of the other parts.
#include "kernels/nearest.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <tuple>

#include "kernels/local_scores.h"

namespace uio::kernels {
namespace {

constexpr std::int64_t kKeysAtOnce = 1 << 14;
constexpr std::int64_t kNumbersAtOnce = 1 << 24;  // of gathered values and of scores (64 MB each): bounds how many queries go at once

struct Best {
  at::Tensor scores, index;  // [B, H, T, κ]
};

Best best_of(const at::Tensor& queries, const at::Tensor& keys, std::int64_t count) {
  Best best;
  for (std::int64_t begin = 0; begin < keys.size(2); begin += kKeysAtOnce) {
    const std::int64_t some = std::min(kKeysAtOnce, keys.size(2) - begin);
    auto [scores, index] = at::topk(scores_of(queries, keys.narrow(2, begin, some)), std::min(count, some), -1);
    index = index + begin;
    if (best.scores.defined()) {
      const at::Tensor all = at::cat({best.scores, scores}, -1), where = at::cat({best.index, index}, -1);
      at::Tensor order;
      std::tie(scores, order) = at::topk(all, std::min(count, all.size(-1)), -1);
      index = where.gather(-1, order);
    }
    best = {scores, index};
  }
  return best;
}

// Σ weights · values of the keys that `index` names: [B, H, T, κ] of values [B, G, S, d] → [B, H, T, d].
at::Tensor sum_of(const at::Tensor& weights, const at::Tensor& index, const at::Tensor& values) {
  const std::int64_t batch = index.size(0), heads = index.size(1), count = index.size(2), best = index.size(3), groups = values.size(1), size = values.size(3);
  const at::Tensor rows = index.reshape({batch, groups, heads / groups * count * best, 1}).expand({-1, -1, -1, size});
  const at::Tensor found = values.gather(2, rows).to(weights.scalar_type()).view({batch, heads, count, best, size});
  return at::matmul(weights.unsqueeze(-2), found).squeeze(-2);
}

}  // namespace

at::Tensor attention_nearest(std::span<const AttentionPart> parts, const AttentionPart& far, std::int64_t count, double scale) {
  const at::Tensor& first = far.queries;
  const std::int64_t batch = first.size(0), heads = first.size(1), total = first.size(2), size = first.size(3), best = std::min(count, far.keys.size(2));
  const auto wide = first.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  std::int64_t near = 0;
  for (const AttentionPart& part : parts) near += part.keys.size(2);
  const std::int64_t widest = std::max({best * size, near + best, std::min(kKeysAtOnce, far.keys.size(2))});
  const std::int64_t at_once = std::clamp<std::int64_t>(kNumbersAtOnce / (batch * heads * widest), 1, total);
  at::Tensor out = at::empty({batch, total, heads, size}, first.options());
  for (std::int64_t begin = 0; begin < total; begin += at_once) {
    const std::int64_t some = std::min(at_once, total - begin);
    const Best found = best_of(far.queries.narrow(2, begin, some).to(wide), far.keys, best);
    const LocalShares shares = local_shares(parts, begin, some, found.scores, scale);
    at::Tensor sum = sum_of(shares.far, found.index, far.values);
    if (shares.sum.defined()) sum = sum + shares.sum;
    out.narrow(1, begin, some).copy_(sum.transpose(1, 2));
  }
  return out.transpose(1, 2);
}

}  // namespace uio::kernels
