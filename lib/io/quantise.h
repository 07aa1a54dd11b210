// Tensors as small whole numbers with shared scales: the precisions int8 and int4 (uio-memory(5), PAYLOAD). Keys share a scale
// along a channel, where they are alike; values along a token.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "io/record.h"

namespace uio {

enum class Along { kChannel, kToken };

// A run of matrices [matrices, rows, columns] of one dtype, a row a token and a column a channel, and how they are kept.
struct QuantisedShape {
  DType dtype;
  Precision precision;  // not kExact
  Along along;          // what the items that share a scale have in common
  std::size_t matrices, rows, columns;
  std::size_t items() const { return matrices * rows * columns; }
  std::size_t scales() const;
  // Bytes of the parts of the quantised form, in order: the exponents of the scales; for int4 their eighths; the numbers.
  std::vector<std::size_t> parts() const;
  std::size_t bytes() const;  // of all parts
};

// What quantising a tensor changed, added up over its pieces.
struct ChangeTally {
  double largest = 0, largest_value = 0;  // of |x - x'|, of |x|
  double squares = 0, value_squares = 0;  // sums of their squares
  // Relative to the largest item, and to the root mean square.
  StatedError relative() const;
};

// Index of the first item that has no quantised form: infinite, not a number, or beyond the range of f32.
std::optional<std::size_t> first_unfit(DType dtype, std::span<const std::byte> items);

// Writes the parts of `items` to `parts`, which has shape.bytes() bytes: for each run, of all that the page allows, what is nearest.
// So a dequantised tensor loses nothing when it is quantised again, and what quantise() wrote comes out the same to the byte.
// No item may be unfit.
void quantise(const QuantisedShape& shape, std::span<const std::byte> items, std::span<std::byte> parts, ChangeTally& tally);
// The inverse: fills `items`, every number exactly. Throws Damage{kData} for parts that the page does not allow.
void dequantise(const QuantisedShape& shape, std::span<const std::byte> parts, std::span<std::byte> items);

}  // namespace uio
