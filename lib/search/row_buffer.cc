#include "search/row_buffer.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace uio {
namespace {

constexpr std::int64_t kRoom = 256;  // of a buffer that begins: most windows fill it

}  // namespace

at::Tensor with_room(const at::Tensor& old, std::int64_t length, std::int64_t used, const at::Tensor& like, std::int64_t most) {
  const std::int64_t room = old.defined() ? old.size(2) : 0;
  if (length <= room) return old;
  at::Tensor grown = at::empty({like.size(0), like.size(1), std::min(most, std::max({length, 2 * room, kRoom})), like.size(3)}, like.options());
  if (used > 0) grown.narrow(2, 0, used).copy_(old.narrow(2, 0, used));
  return grown;
}

void RowBuffer::append(const at::Tensor& new_keys, const at::Tensor& new_values, std::int64_t used, std::int64_t most) {
  const std::int64_t count = new_keys.size(2);
  keys = with_room(keys, used + count, used, new_keys, most);
  values = with_room(values, used + count, used, new_keys, most);
  keys.narrow(2, used, count).copy_(new_keys);
  values.narrow(2, used, count).copy_(new_values);
}

}  // namespace uio
