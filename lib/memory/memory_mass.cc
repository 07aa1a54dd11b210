#include "memory/memory_mass.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace uio {
namespace {

constexpr std::int64_t kScoresAtOnce = std::int64_t{1} << 22;  // bounds what a piece of the queries takes

}  // namespace

MemoryMass::MemoryMass(std::vector<MemoryRange> ranges)
    : ranges_(std::move(ranges)), sums_(at::zeros({static_cast<std::int64_t>(ranges_.size())}, at::kDouble)) {
  std::vector<std::int64_t> begins, ends;
  for (const MemoryRange& range : ranges_) {
    begins.push_back(range.begin);
    ends.push_back(range.begin + range.count);
  }
  begins_ = at::tensor(begins, at::kLong);
  ends_ = at::tensor(ends, at::kLong);
}

void MemoryMass::add(const at::Tensor& queries, const at::Tensor& keys, std::int64_t first, double scale) {
  if (ranges_.empty()) return;
  const std::int64_t heads = queries.size(1), tokens = queries.size(2), groups = keys.size(1), seen = first + tokens;
  const at::Tensor all = keys.narrow(2, 0, seen).to(at::kFloat).transpose(2, 3).unsqueeze(2);  // [B, G, 1, d, P]
  const at::Tensor positions = at::arange(seen, all.options().dtype(at::kLong));
  const at::Tensor begins = begins_.to(all.device()), ends = ends_.to(all.device());
  const std::int64_t step = std::max<std::int64_t>(1, kScoresAtOnce / (queries.size(0) * heads * seen));
  for (std::int64_t at = 0; at < tokens; at += step) {
    const std::int64_t count = std::min(step, tokens - at);
    const at::Tensor asking = queries.narrow(2, at, count).to(at::kFloat).unflatten(1, {groups, heads / groups});  // [B, G, H/G, t, d]
    const at::Tensor own = at::arange(first + at, first + at + count, positions.options()).unsqueeze(1);
    const at::Tensor weights = at::matmul(asking, all).mul_(scale).masked_fill_(positions.gt(own), -std::numeric_limits<float>::infinity()).softmax(-1);
    const at::Tensor until = at::constant_pad_nd(weights.sum({0, 1, 2, 3}).to(at::kDouble).cumsum(0), {1, 0});  // [P + 1]: of all keys before
    sums_.add_((until.index_select(0, ends) - until.index_select(0, begins)).to(at::kCPU));
  }
}

std::vector<std::size_t> MemoryMass::largest(std::int64_t count) const {
  std::vector<std::size_t> order(ranges_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const double* sums = sums_.const_data_ptr<double>();
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) { return sums[a] != sums[b] ? sums[a] > sums[b] : a > b; });
  order.resize(std::min(order.size(), static_cast<std::size_t>(count)));
  std::ranges::sort(order);
  return order;
}

}  // namespace uio
