#include "memory/local_parts.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace uio {

using kernels::AttentionPart;
using kernels::Visible;

std::int64_t oldest_seen(std::int64_t position, std::int64_t window) { return window > 0 ? std::max<std::int64_t>(0, position - window + 1) : 0; }

std::vector<AttentionPart> local_parts(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values, std::int64_t first, std::int64_t window) {
  // Keys that some query still sees; those before lie outside every window.
  const std::int64_t count = queries.size(2), oldest = oldest_seen(first, window);
  const std::int64_t before = first - oldest, last = first + count - 1;
  const bool is_cut = window > 0 && last - oldest >= window;
  const auto part = [&](std::int64_t begin, std::int64_t size, Visible visible, const at::Tensor& mask = {}) {
    return AttentionPart{queries, keys.narrow(2, begin, size), values.narrow(2, begin, size), visible, mask};
  };
  if (count == 1) return {part(oldest, before + 1, Visible::kAll)};
  if (is_cut) return {part(oldest, before + count, Visible::kMask, window_mask(first, count, oldest, before + count, window, queries.device()))};
  if (before > 0) return {part(oldest, before, Visible::kAll), part(first, count, Visible::kCausal)};
  return {part(first, count, Visible::kCausal)};
}

at::Tensor window_mask(std::int64_t first, std::int64_t count, std::int64_t first_key, std::int64_t keys, std::int64_t window, at::Device device) {
  const auto options = at::TensorOptions().dtype(at::kLong).device(device);
  const at::Tensor back = at::arange(first, first + count, options).unsqueeze(1) - at::arange(first_key, first_key + keys, options).unsqueeze(0);
  return back.ge(0).logical_and(back.lt(window));
}

}  // namespace uio
