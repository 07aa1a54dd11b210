// Ladder: (1) reference: rotary.h, copies, attention.h: some thirty small tensors, 40 microseconds a layer of the 134M benchmark with 64 keys. (2) shipped: the same
// by address, 20 microseconds; keys and values of bf16 are widened a block at a time. Bound: reading keys and values once.
#include "kernels/token_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/util/BFloat16.h>

#include <algorithm>

#include "kernels/attention_blocks.h"
#include "kernels/policy.h"
#include "kernels/rows.h"

namespace uio::kernels {
namespace {

// Numbers that the cache's dtype has, as it keeps them.
void keep(const float* from, void* cache, at::ScalarType dtype, std::int64_t row, std::int64_t count) {
  if (dtype == at::kFloat) std::copy_n(from, count, static_cast<float*>(cache) + row * count);
  else std::copy_n(from, count, static_cast<c10::BFloat16*>(cache) + row * count);
}

// Where row `row` of KV head `group` lies.
const char* row_of(const void* rows, const TokenCache& cache, std::int64_t group, std::int64_t row, std::int64_t size) {
  return static_cast<const char*>(rows) + (group * cache.room + row) * size * static_cast<std::int64_t>(c10::elementSize(cache.dtype));
}

}  // namespace

TokenCache token_cache(const at::Tensor& keys, const at::Tensor& values, std::int64_t row, std::int64_t oldest, std::int64_t position, Angles angles) {
  const auto at = static_cast<std::ptrdiff_t>(row * keys.stride(0)) * static_cast<std::ptrdiff_t>(keys.element_size());
  return {static_cast<char*>(keys.mutable_data_ptr()) + at, static_cast<char*>(values.mutable_data_ptr()) + at, keys.scalar_type(), keys.size(2), oldest, position, angles};
}

void warm(const TokenCache& cache, std::int64_t group, const HeadShape& shape) {
  for (const void* rows : {cache.keys, cache.values})
    for (int line = 0; line < 16; ++line) __builtin_prefetch(row_of(rows, cache, group, cache.oldest, shape.size) + 64 * line);
}

void attend_group(float* queries, const float* key, const float* value, const TokenCache& cache, std::int64_t group, const HeadShape& shape, double scale, float* out) {
  const RowKernels& kernel = row_kernels();
  const std::int64_t size = shape.size, shared = shape.shared(), first = group * cache.room;
  const bool is_bf16 = cache.dtype == at::kBFloat16;
  // The angles of a token are the same for all its heads: `out` has room for the turned key until the answer comes.
  kernel.rotary_f32(key, cache.angles.cosine, cache.angles.sine, out, size / 2);
  if (is_bf16) kernel.round_bf16(out, size);
  keep(out, cache.keys, cache.dtype, first + cache.position, size);
  keep(value, cache.values, cache.dtype, first + cache.position, size);
  for (std::int64_t head = 0; head < shared; ++head) {
    kernel.rotary_f32(queries + head * size, cache.angles.cosine, cache.angles.sine, out, size / 2);
    std::copy_n(out, size, queries + head * size);
  }
  if (is_bf16) kernel.round_bf16(queries, shared * size);

  const auto seen = [&](const void* rows) { return RowPart::Rows{row_of(rows, cache, group, cache.oldest, size), 0, 0, size, is_bf16}; };
  const AttentionPart all;
  const RowPart part{{queries, 0, size, size}, seen(cache.keys), seen(cache.values), cache.position + 1 - cache.oldest, &all};
  attention_blocks({&part, 1}, {1, shared, 1, 1, size}, scale, out, nullptr);
  if (is_bf16) kernel.round_bf16(out, shared * size);
}

bool fits_token(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& keys) {
  const auto dtype = keys.scalar_type();
  const auto is_known = [dtype](const at::Tensor& x) { return x.scalar_type() == dtype && x.is_contiguous() && !x.requires_grad(); };
  return (dtype == at::kFloat || dtype == at::kBFloat16) && q.size(1) == 1 && q.device().is_cpu() && is_known(q) && is_known(k) && is_known(v) && q.numel() > 0 &&
         !is_reference_forced();
}

at::Tensor attend_token(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, Angles angles, const at::Tensor& keys, const at::Tensor& values,
                        std::int64_t oldest, std::int64_t position, double scale) {
  const HeadShape shape{q.size(2), k.size(2), q.size(3)};
  const std::int64_t batch = q.size(0), width = shape.heads * shape.size, kv_width = shape.groups * shape.size, shared = shape.shared() * shape.size;
  const at::Tensor queries = at::empty({batch, 1, width}, at::kFloat), key = k.to(at::kFloat), value = v.to(at::kFloat), out = at::empty_like(queries);
  queries.view_as(q).copy_(q);
  float *asking = queries.mutable_data_ptr<float>(), *to = out.mutable_data_ptr<float>();
  const float *own_keys = key.const_data_ptr<float>(), *own_values = value.const_data_ptr<float>();
  // Threads only where there is something for each: with few keys a fork and a join would be most of the time.
  constexpr std::int64_t kLeast = 1 << 17;  // multiplications, some 10 µs
  const bool is_long = 2 * (position + 1 - oldest) * width * batch >= kLeast;
  at::parallel_for(0, batch * shape.groups, is_long ? 1 : batch * shape.groups, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / shape.groups, group = i % shape.groups, own = row * kv_width + group * shape.size, heads = row * width + group * shared;
      attend_group(asking + heads, own_keys + own, own_values + own, token_cache(keys, values, row, oldest, position, angles), group, shape, scale, to + heads);
    }
  });
  return out.to(q.scalar_type());
}

}  // namespace uio::kernels
