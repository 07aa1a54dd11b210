// Rows that are written to a file without a name, against the bytes that were given; and a disk that fails.
#include "io/spilled_rows.h"

#include <random>
#include <vector>

#include "unit/io/faults.h"
#include "unit/io/samples.h"
#include "unit/io/scratch.h"

using namespace uio;
using namespace uio::test;
using Catch::Matchers::Contains;

namespace {

std::vector<std::byte> random_bytes(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// Stretches of random rows, and what was written: [stretch][layer][keys, values].
struct Written {
  Written(const std::string& directory, const SpilledRows::Shape& shape, std::int64_t stretch_bytes, std::int64_t stretches)
      : rows(directory, shape, stretch_bytes), shape(shape) {
    const std::size_t bytes = static_cast<std::size_t>(shape.matrices * rows.stretch()) * row();
    for (std::int64_t i = 0; i < 2 * stretches * shape.layers; ++i) parts.push_back(random_bytes(bytes, static_cast<std::uint64_t>(i)));
    for (std::size_t i = 0; i < parts.size(); i += 2) rows.write(parts[i], parts[i + 1]);
  }
  std::size_t row() const { return static_cast<std::size_t>(shape.head_size) * item_bytes(shape.dtype); }
  std::vector<std::byte> wanted(Side side, std::int64_t layer, std::int64_t matrix, std::int64_t begin, std::int64_t count) const {
    std::vector<std::byte> bytes;
    for (std::int64_t i = begin; i < begin + count; ++i) {
      const auto& part = parts[static_cast<std::size_t>((i / rows.stretch() * shape.layers + layer) * 2 + (side == Side::kKeys ? 0 : 1))];
      const auto first = part.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(matrix * rows.stretch() + i % rows.stretch()) * row());
      bytes.insert(bytes.end(), first, first + static_cast<std::ptrdiff_t>(row()));
    }
    return bytes;
  }
  std::vector<std::byte> found(Side side, std::int64_t layer, std::int64_t matrix, std::int64_t begin, std::int64_t count) const {
    std::vector<std::byte> bytes(static_cast<std::size_t>(count) * row());
    rows.copy(side, layer, matrix, begin, count, bytes);
    return bytes;
  }

  SpilledRows rows;
  SpilledRows::Shape shape;
  std::vector<std::vector<std::byte>> parts;
};

}  // namespace

TEST_CASE("spilled rows are those that were written, and no file has a name") {
  const Scratch scratch;
  std::mt19937 random(4);
  using Shape = SpilledRows::Shape;
  for (const auto& [shape, bytes, stretch] :
       {std::tuple{Shape{2, 3, 10, DType::kF32}, 4000, 8}, {Shape{1, 4, 32, DType::kBf16}, 100000, 128}, {Shape{3, 1, 7, DType::kF64}, 1, 1}}) {
    const Written written(scratch.path(""), shape, bytes, 5);
    CHECK(written.rows.stretch() == stretch);
    CHECK(written.rows.count() == 5 * stretch);
    CHECK(scratch.count() == 0);
    for (int i = 0; i < 200; ++i) {
      const std::int64_t begin = random() % (5 * stretch), count = 1 + random() % (5 * stretch - begin);
      const std::int64_t layer = random() % shape.layers, matrix = random() % shape.matrices;
      const Side side = i % 2 == 0 ? Side::kKeys : Side::kValues;
      REQUIRE(written.found(side, layer, matrix, begin, count) == written.wanted(side, layer, matrix, begin, count));
    }
  }
}

TEST_CASE("folders that take no file, full disks and failing reads are said; interrupted calls are made again") {
  const Scratch scratch;
  const SpilledRows::Shape shape{1, 2, 8, DType::kF32};
  CHECK(status_of([&] { SpilledRows(scratch.path("missing"), shape, 1000); }) == 5);
  {
    const Faults fault("open", 1, EOPNOTSUPP);  // no O_TMPFILE there
    const Written written(scratch.path(""), shape, 1000, 2);
    CHECK(fault.was_hit());
    CHECK(written.found(Side::kValues, 0, 1, 3, 5) == written.wanted(Side::kValues, 0, 1, 3, 5));
    CHECK(scratch.count() == 0);
  }
  for (const int nth : {1, 2, 3}) {
    const Faults fault("write", nth, ENOSPC);
    CHECK_THAT(message_of([&] { Written(scratch.path(""), shape, 1000, 2); }), Contains("cannot keep memory in") && Contains("no space left"));
    CHECK(scratch.count() == 0);
  }
  const Written written(scratch.path(""), shape, 1000, 2);
  {
    const Faults fault("pread", 1, EIO);
    CHECK_THAT(message_of([&] { written.found(Side::kKeys, 0, 0, 0, 4); }), Contains("cannot read memory") && Contains("input/output error"));
  }
  for (const int how : {EINTR, Faults::kShort}) {
    const Faults fault("pread", 1, how);
    CHECK(written.found(Side::kKeys, 0, 1, 2, 6) == written.wanted(Side::kKeys, 0, 1, 2, 6));
    CHECK(fault.was_hit());
  }
}
