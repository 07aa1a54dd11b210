// Buffers of keys and values that grow.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>

namespace uio {

// A tensor [B, G, room, d] like `like` with room for `length` rows, the first `used` of them those of `old`; `old` itself where it has the room. Room doubles,
// up to `most` rows.
at::Tensor with_room(const at::Tensor& old, std::int64_t length, std::int64_t used, const at::Tensor& like, std::int64_t most = std::numeric_limits<std::int64_t>::max());

struct RowBuffer {
  at::Tensor keys, values;  // [B, G, room, d], undefined at first
  // Writes rows [B, G, n, d] behind the first `used`.
  void append(const at::Tensor& new_keys, const at::Tensor& new_values, std::int64_t used, std::int64_t most = std::numeric_limits<std::int64_t>::max());
};

}  // namespace uio
