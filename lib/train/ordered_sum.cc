#include "train/ordered_sum.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace uio {
namespace {

at::ScalarType summed_in(const at::Tensor& tensor) { return tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

// A run of a tensor's values, and where in the round's buffer they are.
struct Part {
  at::Tensor values;  // 1-D
  std::int64_t begin;
};

void sum_round(const std::vector<Part>& parts, std::int64_t values, Transport& transport) {
  if (parts.empty()) return;
  const std::int64_t count = transport.count(), slice = (values + count - 1) / count;
  const auto options = parts.front().values.options().dtype(summed_in(parts.front().values));
  at::Tensor whole = at::empty({count * slice}, options);
  for (const Part& part : parts) whole.narrow(0, part.begin, part.values.numel()).copy_(part.values);
  whole.narrow(0, values, count * slice - values).zero_();  // what fills up the last slice

  const at::Tensor theirs = at::empty({count, slice}, options);
  const auto bytes = static_cast<std::size_t>(slice) * whole.element_size();
  transport.exchange(whole.const_data_ptr(), theirs.mutable_data_ptr(), bytes);
  const at::Tensor mine = theirs[0];
  for (std::int64_t r = 1; r < count; ++r) mine.add_(theirs[r]);
  transport.gather(mine.const_data_ptr(), whole.mutable_data_ptr(), bytes);
  for (const Part& part : parts) part.values.copy_(whole.narrow(0, part.begin, part.values.numel()));
}

void sum_of_type(const std::vector<at::Tensor>& tensors, at::ScalarType type, Transport& transport, std::int64_t round) {
  std::vector<Part> parts;
  std::int64_t filled = 0;
  for (const at::Tensor& tensor : tensors) {
    if (summed_in(tensor) != type) continue;
    const at::Tensor flat = tensor.view({-1});
    for (std::int64_t at = 0; at < flat.numel();) {
      const std::int64_t n = std::min(flat.numel() - at, round - filled);
      parts.push_back({flat.narrow(0, at, n), filled});
      at += n;
      filled += n;
      if (filled < round) continue;
      sum_round(parts, filled, transport);
      parts.clear();
      filled = 0;
    }
  }
  sum_round(parts, filled, transport);
}

}  // namespace

void ordered_sum(const std::vector<at::Tensor>& tensors, Transport& transport, std::int64_t round) {
  const at::NoGradGuard no_gradients;
  // Copies of those whose values do not lie one after the other, which the sum is written back from.
  std::vector<at::Tensor> dense;
  for (const at::Tensor& tensor : tensors) dense.push_back(tensor.contiguous());
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) sum_of_type(dense, type, transport, round);
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (!dense[i].is_same(tensors[i])) at::Tensor(tensors[i]).copy_(dense[i]);
}

}  // namespace uio
