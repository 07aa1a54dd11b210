// Attention of one token to those before it, whose keys and values a cache holds, and the token's way into the cache.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/rotary.h"

namespace uio::kernels {

// True if attend_token computes tensors such as these.
bool fits_token(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& keys);

// q [B, 1, H, d], k and v [B, 1, G, d] of the token at `position`, not rotated, contiguous; keys and values [B, G, room, d] contiguous: the cache, keys rotated.
// Row `position` of the cache becomes the token's; the softmax goes over rows [oldest, position]. Returns [B, 1, H·d]. All f32 on the CPU, without gradients.
// The bits of rotary() and attention() one by one.
at::Tensor attend_token(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, Angles angles, const at::Tensor& keys, const at::Tensor& values,
                        std::int64_t oldest, std::int64_t position, double scale);

}  // namespace uio::kernels
