// The file of an index of keys: what was written is read, and every damage is refused by name.
#include "io/key_index_file.h"

#include <random>

#include "unit/io/samples.h"
#include "unit/io/scratch.h"

using namespace uio;
using namespace uio::test;

namespace {

KeyIndexHeader header(const std::string& kind = "ivf") { return {kind, digits('b'), 10, 2, 1, 4, 3, 0, 0}; }

std::string sample() {
  MemorySink sink;
  KeyIndexWriter writer(sink, header());
  for (std::uint32_t layer = 0; layer < 2; ++layer) {
    std::vector<float> centroids(12, 0.5f + static_cast<float>(layer));
    const std::vector<std::uint64_t> starts = {0, 4, 4, 10};
    const std::vector<std::int8_t> codes(40, -3);
    writer.add(layer, 0, KeyArray::kCentroids, std::span<const float>(centroids));
    writer.add(layer, 0, KeyArray::kStarts, std::span(starts));
    writer.add(layer, 0, KeyArray::kCodes, std::span(codes));
  }
  writer.finish();
  return sink.bytes();
}

// The status that reading these bytes ends with, all arrays looked up; 0: they are taken.
int status_of(const Scratch& scratch, std::string_view bytes) {
  try {
    const KeyIndexFile file(scratch.write("index", bytes));
    for (std::uint32_t layer = 0; layer < file.header().layers && layer < 2; ++layer) {
      file.array<float>(layer, 0, KeyArray::kCentroids, 12);
      file.array<std::uint64_t>(layer, 0, KeyArray::kStarts, 4);
      file.array<std::int8_t>(layer, 0, KeyArray::kCodes, 40);
    }
    return 0;
  } catch (const Error& error) {
    CHECK_THAT(std::string(error.what()), Catch::Matchers::Contains("index"));
    return error.status();
  }
}

}  // namespace

TEST_CASE("an index file gives back what was written") {
  const Scratch scratch;
  const std::string bytes = sample();
  CHECK(bytes == sample());
  const KeyIndexFile file(scratch.write("index", bytes));
  CHECK(file.header() == header());
  CHECK(file.array<float>(1, 0, KeyArray::kCentroids, 12)[11] == 1.5f);
  CHECK(file.array<std::uint64_t>(0, 0, KeyArray::kStarts, 4)[3] == 10);
  CHECK(file.array<std::int8_t>(0, 0, KeyArray::kCodes, 40)[39] == -3);
  CHECK_THROWS_AS(file.array<float>(0, 0, KeyArray::kCentroids, 13), Error);
  CHECK_THROWS_AS(file.array<std::uint64_t>(0, 0, KeyArray::kStarts, std::uint64_t{1} << 61), Error);
  CHECK_THROWS_AS(file.array<float>(0, 1, KeyArray::kCentroids, 12), Error);
  CHECK_THROWS_AS(file.array<float>(0, 0, KeyArray::kScales, 10), Error);
}

TEST_CASE("every cut, every flipped bit and a thousand other damages are refused") {
  const Scratch scratch;
  const std::string whole = sample();
  REQUIRE(status_of(scratch, whole) == 0);
  for (std::size_t size = 0; size < whole.size(); ++size) REQUIRE(status_of(scratch, whole.substr(0, size)) == 3);
  for (std::size_t bit = 0; bit < 8 * whole.size(); bit += 1 + bit % 3) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
    REQUIRE(status_of(scratch, damaged) == 3);
  }
  std::mt19937 random(11);
  for (int i = 0; i < 1000; ++i) {
    std::string damaged = whole;
    const std::size_t at = random() % whole.size(), count = 1 + random() % 100;
    if (i % 3 == 0) damaged.insert(at, std::string(count, static_cast<char>(random())));
    if (i % 3 == 1) damaged.erase(at, count);
    if (i % 3 == 2) damaged.replace(at, count, whole.substr(random() % whole.size(), count));
    if (damaged != whole) REQUIRE(status_of(scratch, damaged) == 3);
  }
  CHECK(status_of(scratch, whole + std::string(64, '\0')) == 3);
  CHECK(status_of(scratch, whole + whole) == 3);
}

TEST_CASE("versions and kinds that are not known are a mismatch") {
  const Scratch scratch;
  std::string bytes = sample();
  ++bytes[8];
  const std::uint64_t sum = checksum(as_bytes(bytes).first(56));
  std::memcpy(bytes.data() + 56, &sum, 8);
  CHECK(status_of(scratch, bytes) == 4);
  MemorySink sink;
  KeyIndexWriter writer(sink, header("tree"));
  writer.finish();
  CHECK(status_of(scratch, sink.bytes()) == 4);
}
