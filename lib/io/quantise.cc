#include "io/quantise.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "base/endian.h"
#include "io/damage.h"
#include "io/nearest_runs.h"

namespace uio {
namespace {

Kind kind_of(Precision precision) { return precision == Precision::kInt4 ? Kind{7, 8} : Kind{127, 1}; }

Exponents exponents_of(DType dtype, const Kind& kind) {
  if (dtype == DType::kF16) return {kBias - 21, kBias + (kind.greatest == 127 ? 9 : 12)};
  return {1, kBias + (kind.greatest == 127 ? 121 : 124)};
}

// --- items as numbers

double from_f16(std::uint16_t bits) {
  constexpr float kFactor = 0x1p112f;  // between the exponents' biases; f16's smallest numbers become normal ones
  if ((bits >> 10 & 31) == 31) return (bits & 1023) != 0 ? std::numeric_limits<double>::quiet_NaN() : std::copysign(std::numeric_limits<double>::infinity(), bits & 0x8000 ? -1.0 : 1.0);
  return std::bit_cast<float>((std::uint32_t{bits} & 0x8000) << 16 | (std::uint32_t{bits} & 0x7FFF) << 13) * kFactor;
}

// Of a number that f16 has exactly.
std::uint16_t to_f16(double x) {
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const double size = std::fabs(x);
  if (size < 0x1p-14) return static_cast<std::uint16_t>(sign | static_cast<int>(std::ldexp(size, 24)));
  const int exponent = std::ilogb(size);
  return static_cast<std::uint16_t>(sign | (exponent + 15) << 10 | (static_cast<int>(std::ldexp(size, 10 - exponent)) & 1023));
}

double load_item(DType dtype, const std::byte* at) {
  switch (dtype) {
    case DType::kF32:
      return std::bit_cast<float>(load_le<std::uint32_t>(at));
    case DType::kBf16:
      return std::bit_cast<float>(std::uint32_t{load_le<std::uint16_t>(at)} << 16);
    case DType::kF16:
      return from_f16(load_le<std::uint16_t>(at));
    case DType::kF64:
      return std::bit_cast<double>(load_le<std::uint64_t>(at));
  }
  return 0;
}

// Only for what the dtype has exactly.
void store_item(DType dtype, std::byte* at, double x) {
  switch (dtype) {
    case DType::kF32:
      return store_le(at, std::bit_cast<std::uint32_t>(static_cast<float>(x)));
    case DType::kBf16:
      return store_le(at, static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(x)) >> 16));
    case DType::kF16:
      return store_le(at, to_f16(x));
    case DType::kF64:
      return store_le(at, std::bit_cast<std::uint64_t>(x));
  }
}

// --- where things lie

std::size_t runs_of(std::size_t length) { return (length + kRun - 1) / kRun; }

// Calls `visit` for each run in the order of the scales, with its items' indices: the first, the distance, how many; and with the
// same for its numbers.
struct Place {
  std::size_t item, item_step, number, number_step, count;
};
template <typename Visit>
void for_each_run(const QuantisedShape& shape, const Visit& visit) {
  const bool is_channel = shape.along == Along::kChannel;
  const std::size_t lines = is_channel ? shape.columns : shape.rows, length = is_channel ? shape.rows : shape.columns;
  for (std::size_t matrix = 0; matrix < shape.matrices; ++matrix) {
    const std::size_t begin = matrix * shape.rows * shape.columns;
    for (std::size_t line = 0; line < lines; ++line) {
      for (std::size_t at = 0; at < length; at += kRun) {
        const std::size_t row = is_channel ? at : line, column = is_channel ? line : at;
        const std::size_t along_row = 1, along_column = shape.columns;
        visit(Place{begin + row * shape.columns + column, is_channel ? along_column : along_row, begin + column * shape.rows + row,
                    is_channel ? std::size_t{1} : shape.rows, std::min(kRun, length - at)});
      }
    }
  }
}

// The numbers' part: a byte each, or two in a byte, the first in its lower half.
class Numbers {
 public:
  Numbers(Precision precision, std::byte* at) : is_packed_(precision == Precision::kInt4), at_(at) {}
  void set(std::size_t index, int number) const {
    if (is_packed_) at_[index / 2] |= static_cast<std::byte>((number & 15) << (index % 2 * 4));
    else at_[index] = static_cast<std::byte>(number);
  }

 private:
  bool is_packed_;
  std::byte* at_;
};
int number_at(Precision precision, std::span<const std::byte> numbers, std::size_t index) {
  if (precision == Precision::kInt8) return static_cast<std::int8_t>(numbers[index]);
  const int half = std::to_integer<int>(numbers[index / 2]) >> (index % 2 * 4) & 15;
  return half < 8 ? half : half - 16;
}

[[noreturn]] void fail(const std::string& reason) { throw Damage{ErrorKind::kData, "has a payload with " + reason}; }

}  // namespace

std::size_t QuantisedShape::scales() const {
  return matrices * (along == Along::kChannel ? columns * runs_of(rows) : rows * runs_of(columns));
}

std::vector<std::size_t> QuantisedShape::parts() const {
  if (precision == Precision::kInt8) return {scales(), items()};
  return {scales(), scales(), (items() + 1) / 2};
}

std::size_t QuantisedShape::bytes() const {
  std::size_t sum = 0;
  for (const std::size_t part : parts()) sum += part;
  return sum;
}

StatedError ChangeTally::relative() const {
  const auto share = [](double part, double whole) { return whole > 0 ? std::min(1.0, part / whole) : 0.0; };
  return {share(largest, largest_value), std::sqrt(share(squares, value_squares))};
}

std::optional<std::size_t> first_unfit(DType dtype, std::span<const std::byte> items) {
  const std::size_t size = item_bytes(dtype);
  for (std::size_t i = 0; i < items.size() / size; ++i) {
    if (!(std::fabs(load_item(dtype, items.data() + i * size)) <= std::numeric_limits<float>::max())) return i;
  }
  return std::nullopt;
}

namespace {

// Quantises runs as they come, kSideBySide of them at once, in their order.
class Quantising {
 public:
  Quantising(const QuantisedShape& shape, std::span<const std::byte> items, std::span<std::byte> parts, ChangeTally& tally, const Rounded* rounded)
      : shape_(shape), kind_(kind_of(shape.precision)), exponents_(exponents_of(shape.dtype, kind_)), items_(items), parts_(parts),
        numbers_(shape.precision, parts.data() + (kind_.steps > 1 ? 2 : 1) * shape.scales()), tally_(tally), rounded_(rounded) {}

  void add(const Place& place) {
    places_[waiting_] = place;
    const std::size_t size = item_bytes(shape_.dtype);
    for (std::size_t i = 0; i < kRun; ++i) {
      const double exact = i < place.count ? load_item(shape_.dtype, items_.data() + (place.item + i * place.item_step) * size) : 0;
      exact_[i][waiting_] = exact;
      runs_.items[i][waiting_] = static_cast<float>(exact);
    }
    if (++waiting_ == kSideBySide) finish();
  }
  // Those that still wait.
  void finish() {
    if (waiting_ == 0) return;
    if (!rounded_) find_nearest(runs_, kind_, exponents_);  // lanes that nothing waits in are of a run before
    for (std::size_t run = 0; run < waiting_; ++run) {
      if (rounded_) take(run);
      write(run);
    }
    waiting_ = 0;
  }

 private:
  // What was found for the next scale elsewhere.
  void take(std::size_t run) {
    const int chosen = rounded_->scales[scale_];
    runs_.exponent[run] = chosen < 0 ? 0 : exponents_.least + chosen / kind_.steps;
    runs_.step[run] = chosen < 0 ? 0 : chosen % kind_.steps;
    const Place& place = places_[run];
    for (std::size_t i = 0; i < place.count; ++i) runs_.numbers[i][run] = rounded_->numbers[place.item + i * place.item_step];
  }
  void write(std::size_t run) {
    const int exponent = runs_.exponent[run], step = runs_.step[run];
    parts_[scale_] = static_cast<std::byte>(exponent);
    if (kind_.steps > 1) parts_[shape_.scales() + scale_] = static_cast<std::byte>(step);
    ++scale_;
    const double unit = exponent == 0 ? 0 : scale_of(kind_, exponent, step);
    const Place& place = places_[run];
    for (std::size_t i = 0; i < place.count; ++i) {
      const int number = runs_.numbers[i][run];
      numbers_.set(place.number + i * place.number_step, number);
      const double difference = std::fabs(exact_[i][run] - number * unit), value = std::fabs(exact_[i][run]);
      tally_.largest = std::max(tally_.largest, difference);
      tally_.largest_value = std::max(tally_.largest_value, value);
      tally_.squares += difference * difference;
      tally_.value_squares += value * value;
    }
  }

  const QuantisedShape& shape_;
  const Kind kind_;
  const Exponents exponents_;
  std::span<const std::byte> items_;
  std::span<std::byte> parts_;
  Numbers numbers_;
  ChangeTally& tally_;
  const Rounded* rounded_;
  Place places_[kSideBySide] = {};
  double exact_[kRun][kSideBySide] = {};
  Runs runs_ = {};
  std::size_t waiting_ = 0, scale_ = 0;
};

}  // namespace

RunSearch search_of(DType dtype, Precision precision) {
  const Kind kind = kind_of(precision);
  const Exponents exponents = exponents_of(dtype, kind);
  RunSearch search{{}, scale_of(kind, exponents.least + 1, 0), kind.greatest, kLeastShare, static_cast<int>(kTried)};
  for (int exponent = exponents.least; exponent <= exponents.greatest; ++exponent)
    for (int step = 0; step < kind.steps; ++step) search.scales.push_back(scale_of(kind, exponent, step));
  return search;
}

void quantise(const QuantisedShape& shape, std::span<const std::byte> items, std::span<std::byte> parts, ChangeTally& tally, const Rounded* rounded) {
  std::ranges::fill(parts, std::byte{0});
  Quantising quantising(shape, items, parts, tally, rounded);
  for_each_run(shape, [&](const Place& place) { quantising.add(place); });
  quantising.finish();
}

void dequantise(const QuantisedShape& shape, std::span<const std::byte> parts, std::span<std::byte> items) {
  const Kind kind = kind_of(shape.precision);
  const Exponents exponents = exponents_of(shape.dtype, kind);
  const std::size_t size = item_bytes(shape.dtype), scales = shape.scales();
  const auto numbers = parts.subspan((kind.steps > 1 ? 2 : 1) * scales);
  if (kind.steps > 1 && shape.items() % 2 == 1 && std::to_integer<int>(numbers.back()) > 15) fail("a number too many");
  std::size_t scale = 0;
  for_each_run(shape, [&](const Place& place) {
    const int exponent = std::to_integer<int>(parts[scale]), step = kind.steps > 1 ? std::to_integer<int>(parts[scales + scale]) : 0;
    ++scale;
    if (step >= kind.steps || (exponent == 0 ? step > 0 : exponent < exponents.least || exponent > exponents.greatest)) {
      fail("a scale of exponent " + std::to_string(exponent) + " and " + std::to_string(step) + " eighths, out of range");
    }
    const double unit = exponent == 0 ? 0 : scale_of(kind, exponent, step);
    for (std::size_t i = 0; i < place.count; ++i) {
      const int number = number_at(shape.precision, numbers, place.number + i * place.number_step);
      if (number < -kind.greatest || (exponent == 0 && number != 0)) fail("the number " + std::to_string(number) + ", out of range");
      store_item(shape.dtype, items.data() + (place.item + i * place.item_step) * size, number * unit);
    }
  });
}

}  // namespace uio
