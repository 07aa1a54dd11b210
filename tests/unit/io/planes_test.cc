#include "io/planes.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <vector>

using namespace uio;

namespace {

std::vector<std::byte> random_bytes(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

}  // namespace

TEST_CASE("planes join to what was split, for every dtype and awkward shapes") {
  for (const DType dtype : {DType::kF32, DType::kBf16, DType::kF16, DType::kF64}) {
    for (const auto& [matrices, rows, columns] :
         {std::array{1, 1, 1}, {3, 5, 7}, {2, 1, 9}, {2, 9, 1}, {1, 33, 65}, {4, 16, 64}}) {
      const PlaneShape shape{dtype, static_cast<std::size_t>(matrices), static_cast<std::size_t>(rows),
                             static_cast<std::size_t>(columns)};
      const auto items = random_bytes(shape.bytes(), 5);
      std::vector<std::byte> planes(shape.bytes()), joined(shape.bytes());
      split_planes(shape, items, planes);
      join_planes(shape, planes, joined);
      CAPTURE(name_of(dtype), matrices, rows, columns);
      CHECK(joined == items);
      if (shape.items() > 4) CHECK(planes != items);
    }
  }
}

TEST_CASE("every bit pattern of the 16-bit dtypes survives") {
  std::vector<std::uint16_t> all(1 << 16);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  for (const DType dtype : {DType::kBf16, DType::kF16}) {
    const PlaneShape shape{dtype, 2, 128, 256};
    std::vector<std::byte> planes(shape.bytes()), joined(shape.bytes());
    split_planes(shape, std::as_bytes(std::span(all)), planes);
    join_planes(shape, planes, joined);
    CHECK(std::memcmp(joined.data(), all.data(), joined.size()) == 0);
  }
}

TEST_CASE("the order is that of the page: transposed, exponent first, sign on top of the mantissa") {
  // [2 rows, 2 columns]: 1 and -2, 0.5 and 3.
  const std::uint16_t bf16[] = {0x3F80, 0xC000, 0x3F00, 0x4040};
  std::vector<std::byte> planes(8);
  split_planes({DType::kBf16, 1, 2, 2}, std::as_bytes(std::span(bf16)), planes);
  const auto expect = [&](std::initializer_list<int> bytes) {
    std::vector<std::byte> expected;
    for (const int byte : bytes) expected.push_back(static_cast<std::byte>(byte));
    CHECK(planes == expected);
  };
  expect({0x7F, 0x7E, 0x80, 0x80, 0x00, 0x00, 0x80, 0x40});

  const float f32[] = {1.0f, -2.0f, 0.5f, std::bit_cast<float>(0xC0412345u)};
  planes.resize(16);
  split_planes({DType::kF32, 1, 2, 2}, std::as_bytes(std::span(f32)), planes);
  expect({0x7F, 0x7E, 0x80, 0x80, 0x00, 0x00, 0x80, 0xC1, 0, 0, 0, 0x23, 0, 0, 0, 0x45});

  const std::uint16_t f16[] = {0x1234, 0x5678};
  planes.resize(4);
  split_planes({DType::kF16, 1, 1, 2}, std::as_bytes(std::span(f16)), planes);
  expect({0x12, 0x56, 0x34, 0x78});
}
