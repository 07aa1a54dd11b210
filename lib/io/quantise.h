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

// What is searched for a run: for a device that does it in the place of quantise().
struct RunSearch {
  std::vector<double> scales;  // those allowed, ascending
  double floor;                // scales up to this are tried whatever the items are
  int greatest;                // of the numbers
  double least_share;          // of the largest item that the greatest number may stand for
  int most_tried;
};
RunSearch search_of(DType dtype, Precision precision);
// What such a device found of `items`, in their order, and of the runs, in the order of their scales.
struct Rounded {
  std::span<const std::int8_t> numbers;
  std::span<const std::int16_t> scales;  // indices of RunSearch::scales, -1 for 0
};

// Writes the parts of `items` to `parts`, which has shape.bytes() bytes: for each run, of all that the page allows, what is nearest.
// So a dequantised tensor loses nothing when it is quantised again, and what quantise() wrote comes out the same to the byte.
// No item may be unfit. rounded: what is nearest, where it is known.
void quantise(const QuantisedShape& shape, std::span<const std::byte> items, std::span<std::byte> parts, ChangeTally& tally, const Rounded* rounded = nullptr);
// The inverse: fills `items`, every number exactly. Throws Damage{kData} for parts that the page does not allow.
void dequantise(const QuantisedShape& shape, std::span<const std::byte> parts, std::span<std::byte> items);

}  // namespace uio
