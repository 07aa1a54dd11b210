// Ladder: (1) shipped: a composition, a block of keys at a time, so that no row of scores is longer than that.
#include "kernels/attention_mass.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace uio::kernels {
namespace {

constexpr std::int64_t kKeysAtOnce = 1024;

}  // namespace

at::Tensor log_sum_exp(const at::Tensor& queries, const at::Tensor& keys, double scale) {
  const std::int64_t batch = queries.size(0), heads = queries.size(1), count = queries.size(2), size = queries.size(3), groups = keys.size(1);
  const auto wide = queries.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor folded = queries.reshape({batch, groups, heads / groups * count, size}).to(wide);
  at::Tensor total;
  for (std::int64_t begin = 0; begin < keys.size(2); begin += kKeysAtOnce) {
    const at::Tensor block = keys.narrow(2, begin, std::min(kKeysAtOnce, keys.size(2) - begin)).to(wide);
    const at::Tensor sum = at::matmul(folded, block.transpose(-1, -2)).mul(scale).logsumexp(-1);
    total = total.defined() ? at::logaddexp(total, sum) : sum;
  }
  return total.view({batch, heads, count});
}

}  // namespace uio::kernels
