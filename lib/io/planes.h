// Tensors as byte planes: what makes their exponents compressible (uio-memory(5), PAYLOAD).
#pragma once

#include <cstddef>
#include <span>

#include "io/record.h"

namespace uio {

// A run of matrices [matrices, rows, columns] of one dtype.
struct PlaneShape {
  DType dtype;
  std::size_t matrices, rows, columns;
  std::size_t items() const { return matrices * rows * columns; }
  std::size_t bytes() const { return items() * item_bytes(dtype); }
};

// Transposes each matrix to [columns, rows] and splits the items into item_bytes planes of one byte an item, one plane after
// another. Both spans have shape.bytes() bytes. Every bit pattern survives.
void split_planes(const PlaneShape& shape, std::span<const std::byte> items, std::span<std::byte> planes);
// The inverse.
void join_planes(const PlaneShape& shape, std::span<const std::byte> planes, std::span<std::byte> items);

}  // namespace uio
