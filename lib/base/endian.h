// Numbers of fixed width as little-endian bytes, the only byte order on disk.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace uio {

// Tensors and token ids are copied as they lie in memory; a big-endian machine would need a swap there.
static_assert(std::endian::native == std::endian::little, "uio is written for little-endian machines");

template <std::unsigned_integral T>
T load_le(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <std::unsigned_integral T>
void store_le(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

}  // namespace uio
