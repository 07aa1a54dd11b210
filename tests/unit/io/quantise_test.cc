#include "io/quantise.h"

#include <array>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "io/damage.h"
#include "io/nearest_runs.h"

using namespace uio;

namespace {

using Bytes = std::vector<std::byte>;

constexpr DType kDTypes[] = {DType::kF32, DType::kBf16, DType::kF16, DType::kF64};
constexpr Precision kPrecisions[] = {Precision::kInt8, Precision::kInt4};

struct Quantised {
  Bytes parts;
  StatedError error;
};

Quantised quantised(const QuantisedShape& shape, const Bytes& items) {
  Quantised result{Bytes(shape.bytes()), {}};
  ChangeTally tally;
  quantise(shape, items, result.parts, tally);
  result.error = tally.relative();
  return result;
}

Bytes dequantised(const QuantisedShape& shape, const Bytes& parts) {
  Bytes items(shape.items() * item_bytes(shape.dtype));
  dequantise(shape, parts, items);
  return items;
}

// Numbers as items of a dtype, cut to it.
Bytes items_of(DType dtype, const std::vector<double>& numbers) {
  Bytes items;
  const auto add = [&](auto bits) {
    const auto bytes = std::as_bytes(std::span(&bits, 1));
    items.insert(items.end(), bytes.begin(), bytes.end());
  };
  for (const double x : numbers) {
    const float narrow = static_cast<float>(x);
    if (dtype == DType::kF64) add(x);
    if (dtype == DType::kF32) add(narrow);
    if (dtype == DType::kBf16) add(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(narrow) >> 16));
    if (dtype == DType::kF16) {
      const std::uint32_t bits = std::bit_cast<std::uint32_t>(narrow);
      const int exponent = static_cast<int>(bits >> 23 & 255) - 112;
      const std::uint32_t size = exponent <= 0 ? 0 : exponent > 30 ? 0x7BFF : static_cast<std::uint32_t>(exponent) << 10 | (bits >> 13 & 1023);
      add(static_cast<std::uint16_t>(bits >> 31 << 15 | size));
    }
  }
  return items;
}

double number_of(DType dtype, const Bytes& items, std::size_t index) {
  const std::byte* at = items.data() + index * item_bytes(dtype);
  if (dtype == DType::kF64) {
    double x;
    std::memcpy(&x, at, 8);
    return x;
  }
  if (dtype == DType::kF32) {
    float x;
    std::memcpy(&x, at, 4);
    return x;
  }
  std::uint16_t bits;
  std::memcpy(&bits, at, 2);
  if (dtype == DType::kBf16) return std::bit_cast<float>(std::uint32_t{bits} << 16);
  const double sign = bits & 0x8000 ? -1 : 1, mantissa = bits & 1023;
  const int exponent = bits >> 10 & 31;
  return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

// What memories look like, and what they should not: outlying channels, channels of zeros and of one number, tiny and huge ones.
std::vector<double> awkward_numbers(const QuantisedShape& shape, std::uint32_t seed, int scale) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> numbers;
  for (std::size_t i = 0; i < shape.items(); ++i) {
    const std::size_t column = i % shape.columns;
    const double x = normal(random) * std::ldexp(1.0, scale);
    numbers.push_back(column % 7 == 3 ? 0.0 : column % 7 == 5 ? std::ldexp(0.3, scale) : column % 7 == 6 ? 30 * x : x);
  }
  return numbers;
}

void check_settled(const QuantisedShape& shape, const Bytes& items) {
  const Quantised once = quantised(shape, items);
  const Bytes kept = dequantised(shape, once.parts);
  const Quantised again = quantised(shape, kept);
  CHECK(again.parts == once.parts);
  CHECK(again.error == StatedError{});
  CHECK(once.error.largest <= 1);
  CHECK(once.error.rms <= 1);
}

// One run by the definition.
struct Run {
  int exponent = 0, step = 0;
  std::array<int, kRun> numbers{};
  bool operator==(const Run&) const = default;
};
Run nearest(const std::array<double, kRun>& items, const Kind& kind, const Exponents& exponents) {
  Run best;
  double largest = 0, least_squares = 0;
  for (const double x : items) {
    largest = std::max(largest, std::fabs(x));
    least_squares += x * x;
  }
  for (int exponent = exponents.least; exponent <= exponents.greatest; ++exponent)
    for (int step = 0; step < kind.steps; ++step) {
      const double scale = scale_of(kind, exponent, step);
      if (scale < 0.6 * largest / kind.greatest || scale > std::max(2 * largest / kind.greatest, scale_of(kind, exponents.least + 1, 0))) continue;
      Run run{exponent, step};
      double squares = 0;
      for (std::size_t i = 0; i < kRun; ++i) {
        run.numbers[i] = static_cast<int>(std::clamp<double>(std::nearbyint(items[i] / scale), -kind.greatest, kind.greatest));
        const double difference = items[i] - run.numbers[i] * scale;
        squares += difference * difference;
      }
      if (squares < least_squares) least_squares = squares, best = run;
    }
  return best;
}

}  // namespace

TEST_CASE("what was quantised once is kept to the byte, for every dtype and awkward shapes and sizes of numbers") {
  for (const DType dtype : kDTypes) {
    for (const Precision precision : kPrecisions) {
      for (const Along along : {Along::kChannel, Along::kToken}) {
        for (const auto& [matrices, rows, columns] : {std::array{1, 1, 1}, {3, 5, 7}, {2, 1, 9}, {2, 33, 14}, {1, 64, 65}, {4, 16, 32}}) {
          const QuantisedShape shape{dtype, precision, along, static_cast<std::size_t>(matrices), static_cast<std::size_t>(rows),
                                     static_cast<std::size_t>(columns)};
          for (const int scale : {0, 3, -14, -20, -24, 9, -120, -126, -130, -145, 100, 122}) {
            if (dtype == DType::kF16 && (scale < -24 || scale > 9)) continue;
            CAPTURE(name_of(dtype), name_of(precision), static_cast<int>(along), matrices, rows, columns, scale);
            check_settled(shape, items_of(dtype, awkward_numbers(shape, static_cast<std::uint32_t>(scale + 1000), scale)));
          }
        }
      }
    }
  }
}

TEST_CASE("runs side by side are those of one run at a time, by every build") {
  std::mt19937 random(5);
  std::normal_distribution<double> normal;
  for (const Kind& kind : {Kind{7, 8}, Kind{127, 1}})
    for (const Exponents& exponents : {Exponents{1, kBias + 121}, Exponents{kBias - 21, kBias + 9}})
      for (int round = 0; round < 60; ++round) {
        Runs runs = {};
        for (std::size_t run = 0; run < kSideBySide; ++run) {
          const double size = std::ldexp(1.0, static_cast<int>(random() % 46) - 33);
          for (std::size_t i = 0; i < kRun; ++i) {
            const double x = static_cast<float>(normal(random) * size);
            runs.items[i][run] = (run + static_cast<std::size_t>(round)) % 9 == 3 ? 0 : i % 11 == 5 ? 0 : i == 7 && run == 2 ? 20 * x : x;
          }
        }
        for (const FindNearest build : nearest_builds()) {
          CAPTURE(kind.greatest, exponents.least, round);
          build(runs, kind, exponents);
          for (std::size_t run = 0; run < kSideBySide; ++run) {
            std::array<double, kRun> items{};
            Run found{runs.exponent[run], runs.step[run]};
            for (std::size_t i = 0; i < kRun; ++i) items[i] = runs.items[i][run], found.numbers[i] = runs.numbers[i][run];
            REQUIRE(found == nearest(items, kind, exponents));
          }
        }
      }
}

TEST_CASE("every finite number of the 16-bit dtypes is kept as near as its run allows") {
  for (const DType dtype : {DType::kBf16, DType::kF16}) {
    const int inf = dtype == DType::kBf16 ? 0x7F80 : 0x7C00;
    Bytes items;
    for (int bits = 0; bits < 1 << 16; ++bits) {
      const int size = bits & 0x7FFF;
      const auto kept = static_cast<std::uint16_t>(size < inf ? bits : 0);
      const auto bytes = std::as_bytes(std::span(&kept, 1));
      items.insert(items.end(), bytes.begin(), bytes.end());
    }
    for (const Precision precision : kPrecisions) {
      check_settled({dtype, precision, Along::kChannel, 1, 256, 256}, items);
      const QuantisedShape shape{dtype, precision, Along::kToken, 1, 256, 256};  // neighbours share a scale
      check_settled(shape, items);
      const Bytes kept = dequantised(shape, quantised(shape, items).parts);
      for (std::size_t i = 0; i < shape.items(); i += 32) {
        double largest = 0;
        for (std::size_t j = i; j < i + 32; ++j) largest = std::max(largest, std::fabs(number_of(dtype, items, j)));
        // A quarter of the largest: at the very top of f16 an int4 scale has no room above. At the bottom scales end.
        const double bound = std::max(0.25 * largest, std::ldexp(1.0, dtype == DType::kF16 ? -22 : -127));
        for (std::size_t j = i; j < i + 32; ++j)
          REQUIRE(std::fabs(number_of(dtype, items, j) - number_of(dtype, kept, j)) <= bound);
      }
    }
  }
}

TEST_CASE("the error is what it says, and int8's is small") {
  for (const Precision precision : kPrecisions) {
    const QuantisedShape shape{DType::kF32, precision, Along::kToken, 4, 16, 64};
    std::vector<double> numbers(shape.items());
    std::mt19937 random(3);
    std::normal_distribution<double> normal;
    for (double& x : numbers) x = static_cast<float>(normal(random));
    const Bytes items = items_of(DType::kF32, numbers);
    const Quantised result = quantised(shape, items);
    const Bytes kept = dequantised(shape, result.parts);
    double largest = 0, top = 0, squares = 0, all = 0;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const double difference = numbers[i] - number_of(DType::kF32, kept, i);
      largest = std::max(largest, std::fabs(difference));
      top = std::max(top, std::fabs(numbers[i]));
      squares += difference * difference;
      all += numbers[i] * numbers[i];
    }
    CHECK(result.error.largest == Approx(largest / top));
    CHECK(result.error.rms == Approx(std::sqrt(squares / all)));
    CHECK(result.error.rms < (precision == Precision::kInt8 ? 0.01 : 0.12));
    CHECK(result.error.rms > (precision == Precision::kInt8 ? 0.001 : 0.05));
  }
}

TEST_CASE("parts of any other writer are kept as numbers") {
  for (const DType dtype : kDTypes) {
    for (const Precision precision : kPrecisions) {
      const QuantisedShape shape{dtype, precision, Along::kToken, 3, 11, 37};
      std::mt19937 random(5);
      Bytes parts(shape.bytes());
      const bool is_int4 = precision == Precision::kInt4;
      const int least = dtype == DType::kF16 ? 106 : 1, greatest = (dtype == DType::kF16 ? 0 : 112) + (is_int4 ? 139 : 136);
      const std::size_t scales = shape.scales();
      for (std::size_t i = 0; i < scales; ++i) {
        const int near_an_end = static_cast<int>(random() % 4);
        parts[i] = static_cast<std::byte>(random() % 2 == 0 ? least + near_an_end : greatest - near_an_end);
        if (is_int4) parts[scales + i] = static_cast<std::byte>(random() % 8);
      }
      for (std::size_t i = shape.parts().size() * scales - scales; i < parts.size(); ++i) {
        const auto half = [&] { return static_cast<int>(random() % 15) - 7; };
        parts[i] = static_cast<std::byte>(is_int4 ? (half() & 15) | (half() & 15) << 4 : static_cast<int>(random() % 255) - 127);
      }
      if (is_int4 && shape.items() % 2 == 1) parts.back() &= std::byte{15};
      CAPTURE(name_of(dtype), name_of(precision));
      const Bytes items = dequantised(shape, parts);
      const Quantised again = quantised(shape, items);
      CHECK(dequantised(shape, again.parts) == items);
      CHECK(again.error == StatedError{});
    }
  }
}

TEST_CASE("the order is that of the page") {
  // Two tokens of two channels: 1 and -127, 0.5 and 64.
  const Bytes items = items_of(DType::kF32, {1, -127, 0.5, 64});
  const auto bytes = [](std::initializer_list<int> values) {
    Bytes result;
    for (const int value : values) result.push_back(static_cast<std::byte>(value));
    return result;
  };
  CHECK(quantised({DType::kF32, Precision::kInt8, Along::kChannel, 1, 2, 2}, items).parts == bytes({121, 127, 64, 32, -127, 64}));
  CHECK(quantised({DType::kF32, Precision::kInt8, Along::kToken, 1, 2, 2}, items).parts == bytes({127, 126, 1, 1, -127, 127}));
  // 7 of the scale 1 (127, 0); 7 of 1.875 (127, 7); -7 of 0.5 (126, 0).
  const Bytes halves = items_of(DType::kF32, {7, 13.125, -3.5});
  CHECK(quantised({DType::kF32, Precision::kInt4, Along::kToken, 3, 1, 1}, halves).parts == bytes({127, 127, 126, 0, 7, 0, 0x77, 0x09}));
}

TEST_CASE("what cannot be kept is found before") {
  for (const DType dtype : kDTypes) {
    Bytes items = items_of(dtype, {1, 2, 3, -0.0});
    CHECK_FALSE(first_unfit(dtype, items));
    const auto spoil = [&](std::uint64_t bits) { std::memcpy(items.data() + 2 * item_bytes(dtype), &bits, item_bytes(dtype)); };
    for (const bool is_nan : {true, false}) {
      if (dtype == DType::kF64) spoil(0x7FF0000000000000 | is_nan);
      if (dtype == DType::kF32) spoil(0xFF800000 | is_nan);
      if (dtype == DType::kBf16) spoil(0x7F80 | is_nan);
      if (dtype == DType::kF16) spoil(0xFC00 | is_nan);
      CHECK(first_unfit(dtype, items) == 2);
    }
  }
  CHECK(first_unfit(DType::kF64, items_of(DType::kF64, {0, 1e39})) == 1);
}

TEST_CASE("parts that the page does not allow are refused") {
  const auto refuses = [](const QuantisedShape& shape, std::initializer_list<int> values) {
    Bytes parts;
    for (const int value : values) parts.push_back(static_cast<std::byte>(value));
    REQUIRE(parts.size() == shape.bytes());
    try {
      dequantised(shape, parts);
      return false;
    } catch (const Damage& damage) {
      return damage.kind == ErrorKind::kData;
    }
  };
  const QuantisedShape int8{DType::kBf16, Precision::kInt8, Along::kChannel, 1, 1, 1};
  CHECK_FALSE(refuses(int8, {127, -127}));
  CHECK_FALSE(refuses(int8, {248, 127}));
  CHECK(refuses(int8, {249, 127}));
  CHECK(refuses(int8, {127, -128}));
  CHECK(refuses(int8, {0, 1}));
  CHECK_FALSE(refuses(int8, {0, 0}));
  const QuantisedShape half{DType::kF16, Precision::kInt4, Along::kToken, 1, 1, 1};
  CHECK_FALSE(refuses(half, {106, 7, 7}));
  CHECK_FALSE(refuses(half, {139, 7, 9}));
  CHECK(refuses(half, {105, 0, 7}));
  CHECK(refuses(half, {140, 0, 7}));
  CHECK(refuses(half, {127, 8, 1}));
  CHECK(refuses(half, {127, 0, 8}));
  CHECK(refuses(half, {127, 0, 0x10}));
  CHECK(refuses(half, {0, 1, 0}));
}
