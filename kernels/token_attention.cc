// Ladder: (1) reference: rotary.h, copies, attention.h: some thirty small tensors, 40 microseconds a layer of the 134M benchmark with 64 keys. (2) shipped: the same
// by address, 20 microseconds.
#include "kernels/token_attention.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>

#include "kernels/attention_blocks.h"
#include "kernels/policy.h"
#include "kernels/rows.h"

namespace uio::kernels {

bool fits_token(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& keys) {
  const auto is_known = [](const at::Tensor& x) { return x.scalar_type() == at::kFloat && x.is_contiguous() && !x.requires_grad(); };
  return q.size(1) == 1 && q.device().is_cpu() && is_known(q) && is_known(k) && is_known(v) && keys.scalar_type() == at::kFloat && q.numel() > 0 &&
         !is_reference_forced();
}

at::Tensor attend_token(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, Angles angles, const at::Tensor& keys, const at::Tensor& values,
                        std::int64_t oldest, std::int64_t position, double scale) {
  const std::int64_t batch = q.size(0), heads = q.size(2), size = q.size(3), groups = keys.size(1), room = keys.size(2);
  const RowKernels& kernel = row_kernels();
  const auto rotated = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(batch * heads * size));
  const float *queries = q.const_data_ptr<float>(), *key = k.const_data_ptr<float>(), *value = v.const_data_ptr<float>();
  float *cached_keys = keys.mutable_data_ptr<float>(), *cached_values = values.mutable_data_ptr<float>();
  for (std::int64_t row = 0; row < batch * heads; ++row) kernel.rotary_f32(queries + row * size, angles.cosine, angles.sine, rotated.get() + row * size, size / 2);
  for (std::int64_t row = 0; row < batch * groups; ++row) {
    const std::int64_t to = (row * room + position) * size;
    kernel.rotary_f32(key + row * size, angles.cosine, angles.sine, cached_keys + to, size / 2);
    std::copy_n(value + row * size, size, cached_values + to);
  }
  const at::Tensor out = at::empty({batch, 1, heads * size}, q.options());
  const AttentionPart all;
  const RowPart::Rows from{rotated.get(), heads * size, size, size};
  const RowPart part{from, {cached_keys + oldest * size, groups * room * size, room * size, size}, {cached_values + oldest * size, groups * room * size, room * size, size},
                     position + 1 - oldest, &all};
  attention_blocks({&part, 1}, {batch, heads, groups, 1, size}, scale, out.mutable_data_ptr<float>(), nullptr);
  return out;
}

}  // namespace uio::kernels
