// What queries see of the raw tokens before them and of each other, as parts of one attention.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "kernels/attention.h"

namespace uio {

// Queries [B, H, T, d] at positions `first` … first + T - 1 over buffers [B, G, room, d] of keys and values whose positions are counted from 0 and which
// hold those of the queries too. `window`: the number of keys that a query sees, itself included; 0: all before it.
std::vector<kernels::AttentionPart> local_parts(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values, std::int64_t first, std::int64_t window);

// The first position that a query at `position` sees.
std::int64_t oldest_seen(std::int64_t position, std::int64_t window);

// What queries at `count` positions from `first` on see of `keys` positions from `first_key` on, in a sliding window: [count, keys] bool.
at::Tensor window_mask(std::int64_t first, std::int64_t count, std::int64_t first_key, std::int64_t keys, std::int64_t window, at::Device device);

}  // namespace uio
