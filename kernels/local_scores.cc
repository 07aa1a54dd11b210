#include "kernels/local_scores.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace uio::kernels {
namespace {

constexpr std::int64_t kNumbersAtOnce = 1 << 24;

at::Tensor visibility(const AttentionPart& part, std::int64_t begin, std::int64_t count) {
  if (part.visible == Visible::kAll) return {};
  if (part.visible == Visible::kMask) return part.mask.narrow(0, begin, count);
  const auto options = at::TensorOptions().dtype(at::kLong).device(part.queries.device());
  return at::arange(part.keys.size(2), options).unsqueeze(0).le(at::arange(begin, begin + count, options).unsqueeze(1));
}

}  // namespace

at::Tensor scores_of(const at::Tensor& queries, const at::Tensor& keys) {
  const std::int64_t batch = queries.size(0), heads = queries.size(1), count = queries.size(2), groups = keys.size(1);
  const at::Tensor folded = queries.reshape({batch, groups, heads / groups * count, queries.size(3)});
  return at::matmul(folded, keys.to(queries.scalar_type()).transpose(-1, -2)).view({batch, heads, count, keys.size(2)});
}

std::int64_t local_queries_at_once(std::span<const AttentionPart> parts, std::int64_t rows, std::int64_t found, std::int64_t total) {
  std::int64_t keys = found;
  for (const AttentionPart& part : parts) keys += part.keys.size(2);
  return std::clamp<std::int64_t>(kNumbersAtOnce / (rows * keys), 1, total);
}

LocalShares local_shares(std::span<const AttentionPart> parts, std::int64_t begin, std::int64_t count, const at::Tensor& found, double scale) {
  const auto wide = found.scalar_type();
  const std::int64_t best = found.size(3);
  std::vector<at::Tensor> scores = {found};
  for (const AttentionPart& part : parts) {
    at::Tensor score = scores_of(part.queries.narrow(2, begin, count).to(wide), part.keys);
    if (const at::Tensor sees = visibility(part, begin, count); sees.defined())
      score = score.masked_fill(sees.logical_not(), -std::numeric_limits<double>::infinity());
    scores.push_back(score);
  }
  const at::Tensor weights = at::softmax(at::cat(scores, -1).mul(scale), -1);
  LocalShares shares{weights.narrow(-1, 0, best), {}};
  std::int64_t at = best;
  for (const AttentionPart& part : parts) {
    const std::int64_t batch = found.size(0), heads = found.size(1), keys = part.keys.size(2), groups = part.values.size(1);
    const at::Tensor share = weights.narrow(-1, at, keys).reshape({batch, groups, heads / groups * count, keys});
    const at::Tensor sum = at::matmul(share, part.values.to(wide)).view({batch, heads, count, part.values.size(3)});
    shares.sum = shares.sum.defined() ? shares.sum + sum : sum;
    at += keys;
  }
  return shares;
}

}  // namespace uio::kernels
