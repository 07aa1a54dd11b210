// Attention of one token to those before it, whose keys and values a cache holds, and the token's way into the cache.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "kernels/rotary.h"

namespace uio::kernels {

// Queries of `heads` heads that share the keys of `groups`, `size` numbers each.
struct HeadShape {
  std::int64_t heads, groups, size;
  std::int64_t shared() const { return heads / groups; }
};

// Keys and values [G, room, d] of one stream, keys rotated. A token's own go to row `position`, turned by `angles`; it sees rows [oldest, position]. Owns nothing.
struct TokenCache {
  void *keys, *values;
  at::ScalarType dtype;  // f32 or bf16
  std::int64_t room, oldest, position;
  Angles angles;
};
// The cache of row `row` of keys and values [B, G, room, d], contiguous on the CPU.
TokenCache token_cache(const at::Tensor& keys, const at::Tensor& values, std::int64_t row, std::int64_t oldest, std::int64_t position, Angles angles);

// Asks for the first rows of a KV head that a token sees, before they are needed.
void warm(const TokenCache& cache, std::int64_t group, const HeadShape& shape);

// One KV head, on the calling thread: its own key and value [d] go into the cache, and its queries [H/G, d] are answered in out [H/G, d]. Queries are rotated in
// place. With a bf16 cache all numbers given are such as bf16 has, and so are those of `out`.
void attend_group(float* queries, const float* key, const float* value, const TokenCache& cache, std::int64_t group, const HeadShape& shape, double scale, float* out);

// True if attend_token computes tensors such as these.
bool fits_token(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& keys);

// q [B, 1, H, d], k and v [B, 1, G, d] of the token at `position`, not rotated, contiguous; keys and values [B, G, room, d] contiguous: the cache, keys rotated.
// Row `position` of the cache becomes the token's; the softmax goes over rows [oldest, position]. Returns [B, 1, H·d]. All f32 or all bf16, on the CPU, without
// gradients. In f32 the bits of rotary() and attention() one by one; in bf16 scores and weights are f32, only the result is rounded.
at::Tensor attend_token(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, Angles angles, const at::Tensor& keys, const at::Tensor& values,
                        std::int64_t oldest, std::int64_t position, double scale);

}  // namespace uio::kernels
