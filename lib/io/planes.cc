#include "io/planes.h"

#include <cstdint>

#include "base/endian.h"

namespace uio {
namespace {

// How an item becomes its planes: `to_planes` puts the bits in the order of the planes, the first in the highest byte.
// Exponents get a byte of their own where they are 8 bits wide; the sign goes on top of the mantissa.
struct Bf16 {
  using Item = std::uint16_t;
  static Item to_planes(Item x) { return static_cast<Item>((x & 0x7F80) << 1 | (x >> 8 & 0x80) | (x & 0x7F)); }
  static Item from_planes(Item p) { return static_cast<Item>((p & 0x80) << 8 | (p >> 1 & 0x7F80) | (p & 0x7F)); }
};
struct F32 {
  using Item = std::uint32_t;
  static Item to_planes(Item x) { return (x & 0x7F800000) << 1 | (x >> 8 & 0x800000) | (x & 0x7FFFFF); }
  static Item from_planes(Item p) { return (p & 0x800000) << 8 | (p >> 1 & 0x7F800000) | (p & 0x7FFFFF); }
};
template <typename T>
struct Bytewise {
  using Item = T;
  static Item to_planes(Item x) { return x; }
  static Item from_planes(Item p) { return p; }
};

// The planes are written in order and the items gathered with a stride: a matrix is small enough to stay in the first cache.
template <typename Split>
void split(const PlaneShape& shape, const std::byte* items, std::byte* planes) {
  using Item = typename Split::Item;
  const std::size_t plane_bytes = shape.items(), stride = shape.columns * sizeof(Item);
  for (std::size_t matrix = 0; matrix < shape.matrices; ++matrix) {
    for (std::size_t column = 0; column < shape.columns; ++column) {
      const std::byte* from = items + column * sizeof(Item);
      for (std::size_t row = 0; row < shape.rows; ++row, from += stride) {
        const Item bits = Split::to_planes(load_le<Item>(from));
        for (std::size_t plane = 0; plane < sizeof(Item); ++plane) {
          planes[plane * plane_bytes + row] = static_cast<std::byte>(bits >> 8 * (sizeof(Item) - 1 - plane) & 0xFF);
        }
      }
      planes += shape.rows;
    }
    items += shape.rows * stride;
  }
}

template <typename Split>
void join(const PlaneShape& shape, const std::byte* planes, std::byte* items) {
  using Item = typename Split::Item;
  const std::size_t plane_bytes = shape.items(), stride = shape.columns * sizeof(Item);
  for (std::size_t matrix = 0; matrix < shape.matrices; ++matrix) {
    for (std::size_t column = 0; column < shape.columns; ++column) {
      std::byte* to = items + column * sizeof(Item);
      for (std::size_t row = 0; row < shape.rows; ++row, to += stride) {
        Item bits = 0;
        for (std::size_t plane = 0; plane < sizeof(Item); ++plane) {
          bits = static_cast<Item>(bits << 8 | std::to_integer<Item>(planes[plane * plane_bytes + row]));
        }
        store_le<Item>(to, Split::from_planes(bits));
      }
      planes += shape.rows;
    }
    items += shape.rows * stride;
  }
}

}  // namespace

void split_planes(const PlaneShape& shape, std::span<const std::byte> items, std::span<std::byte> planes) {
  switch (shape.dtype) {
    case DType::kF32:
      return split<F32>(shape, items.data(), planes.data());
    case DType::kBf16:
      return split<Bf16>(shape, items.data(), planes.data());
    case DType::kF16:
      return split<Bytewise<std::uint16_t>>(shape, items.data(), planes.data());
    case DType::kF64:
      return split<Bytewise<std::uint64_t>>(shape, items.data(), planes.data());
  }
}

void join_planes(const PlaneShape& shape, std::span<const std::byte> planes, std::span<std::byte> items) {
  switch (shape.dtype) {
    case DType::kF32:
      return join<F32>(shape, planes.data(), items.data());
    case DType::kBf16:
      return join<Bf16>(shape, planes.data(), items.data());
    case DType::kF16:
      return join<Bytewise<std::uint16_t>>(shape, planes.data(), items.data());
    case DType::kF64:
      return join<Bytewise<std::uint64_t>>(shape, planes.data(), items.data());
  }
}

}  // namespace uio
