// Keys and values read from the file that they lie in, against the tensors that were written.
#include "io/stored_rows.h"

#include <filesystem>
#include <random>

#include "base/process_memory.h"
#include "io/limits.h"
#include "unit/io/samples.h"
#include "unit/io/scratch.h"

using namespace uio;
using namespace uio::test;

namespace {

Memory shaped(std::uint32_t layers, std::uint32_t heads, std::uint32_t rows, std::uint32_t size, DType dtype, std::uint64_t index) {
  Memory memory = small_memory(index, dtype);
  memory.layers = layers, memory.kv_heads = heads, memory.memory_length = rows, memory.head_size = size;
  memory.segment_length = memory.token_count = rows;
  memory.keys.resize(key_bytes(memory));
  memory.values.resize(value_bytes(memory));
  std::mt19937_64 random(index + 1);
  for (auto* tensor : {&memory.keys, &memory.values})
    for (std::byte& byte : *tensor) byte = static_cast<std::byte>(random());
  return memory;
}

std::string stream_of(const std::vector<Memory>& memories, int level) {
  MemorySink sink;
  RecordWriter writer(sink, {}, {level});
  for (const Memory& memory : memories) writer.write(memory);
  writer.finish();
  return sink.bytes();
}

// Takes in all memories; false where one cannot be.
bool take(StoredRows& rows) {
  const auto source = memory_source(rows.bytes(), "blob");
  RecordReader reader(*source);
  while (const auto record = reader.next_header()) {
    const std::size_t size = reader.raw().payload.size();
    if (!rows.add(std::get<Memory>(*record), rows.bytes().subspan(reader.frame_offset() + reader.frame_bytes() - size, size))) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("rows of any layer, head and stretch are those that were written") {
  const Scratch scratch;
  // Sizes that pieces of 128 KiB cut in the middle of a row, several layers to a frame, and memories of other lengths in between.
  for (const auto& [layers, heads, size, dtype] : {std::tuple{2u, 3u, 100u, DType::kBf16}, {3u, 2u, 7u, DType::kF32}, {1u, 1u, 64u, DType::kF64}, {12u, 1u, 3u, DType::kF16}}) {
    std::vector<Memory> memories;
    for (const std::uint32_t rows : {500u, 500u, 1u, 733u}) memories.push_back(shaped(layers, heads, rows, size, dtype, memories.size()));
    StoredRows stored{MappedFile(scratch.write("blob", stream_of(memories, 0)))};
    REQUIRE(take(stored));
    CHECK(stored.count() == 1734);
    CHECK(stored.memories() == 4);
    const std::size_t row = size * item_bytes(dtype);
    std::mt19937 random(3);
    for (int i = 0; i < 200; ++i) {
      const std::int64_t begin = random() % 1734, count = i == 0 ? 1734 - begin : 1 + random() % (1734 - begin);
      const std::uint32_t layer = random() % layers, head = random() % heads;
      const Side side = i % 2 == 0 ? Side::kKeys : Side::kValues;
      std::vector<std::byte> found(static_cast<std::size_t>(count) * row), wanted;
      stored.copy(side, layer, head, begin, count, found);
      for (const Memory& memory : memories) {
        const auto& tensor = side == Side::kKeys ? memory.keys : memory.values;
        const auto first = tensor.begin() + static_cast<std::ptrdiff_t>((layer * heads + head) * memory.memory_length * row);
        wanted.insert(wanted.end(), first, first + static_cast<std::ptrdiff_t>(memory.memory_length * row));
      }
      const auto from = wanted.begin() + begin * static_cast<std::ptrdiff_t>(row);
      REQUIRE(std::equal(found.begin(), found.end(), from));
      // The same rows by their names, in another order and some twice, less a number.
      std::vector<std::int64_t> named;
      for (int k = 0; k < 70; ++k) named.push_back(1000 + begin + static_cast<std::int64_t>(random()) % count);
      std::vector<std::byte> rows(named.size() * row);
      stored.copy_named(side, layer, head, named, 1000, rows);
      for (std::size_t k = 0; k < named.size(); ++k)
        REQUIRE(std::equal(rows.begin() + static_cast<std::ptrdiff_t>(k * row), rows.begin() + static_cast<std::ptrdiff_t>((k + 1) * row), wanted.begin() + (named[k] - 1000) * static_cast<std::ptrdiff_t>(row)));
    }
  }
}

TEST_CASE("level 0 writes rows, which read as they were, and say so; other levels do not") {
  const Memory memory = shaped(3, 2, 40, 9, DType::kBf16, 5);
  for (const int level : {0, 1}) {
    const std::string stream = stream_of({memory}, level);
    const auto source = memory_source(as_bytes(stream), "blob");
    RecordReader reader(*source);
    const Record record = *reader.next();
    const auto& found = std::get<Memory>(record);
    CHECK(found.layout == (level == 0 ? Layout::kRows : Layout::kPlanes));
    CHECK(found.keys == memory.keys);
    CHECK(found.values == memory.values);
    // Written again it lies as the level has it.
    CHECK(stream_of({found}, level) == stream);
    CHECK(stream_of({found}, 1 - level) == stream_of({memory}, 1 - level));
  }
  Memory wrong = memory;
  wrong.precision = Precision::kInt8;
  const auto map = encode_memory_map(wrong, Layout::kRows);
  CHECK_THROWS(decode_memory_map(map));
}

TEST_CASE("what does not lie in rows as level 0 writes them is not taken") {
  const Scratch scratch;
  const std::vector<Memory> memories = {shaped(1, 2, 20, 8, DType::kBf16, 0)};
  StoredRows planes{MappedFile(scratch.write("planes", stream_of(memories, 1)))};
  CHECK_FALSE(take(planes));
  StoredRows other{MappedFile(scratch.write("other", stream_of({memories[0], shaped(1, 2, 20, 9, DType::kBf16, 1)}, 0)))};
  CHECK_FALSE(take(other));
  // A frame of zstd that compresses, with the layout of rows: sound, but not to be read in place.
  Memory zeros = memories[0];
  std::ranges::fill(zeros.keys, std::byte{0});
  std::ranges::fill(zeros.values, std::byte{0});
  Compressor compressor(3);
  std::vector<std::byte> payload;
  for (const auto* tensor : {&zeros.keys, &zeros.values}) compressor.append_frame(*tensor, payload);
  zeros.layout = Layout::kRows;
  CHECK_FALSE(stored_layers(zeros, payload));
  Expander expander;
  CHECK(decode_memory_payload(zeros, payload, expander).keys == zeros.keys);
  // Each bit of a frame's own bytes counts.
  Compressor stores(0);
  payload.clear();
  for (const auto* tensor : {&zeros.keys, &zeros.values}) stores.append_frame(*tensor, payload);
  REQUIRE(stored_layers(zeros, payload));
  for (std::size_t bit = 0; bit < 8 * 13; ++bit) {
    payload[bit / 8] ^= std::byte{1} << bit % 8;
    CHECK_FALSE(stored_layers(zeros, payload));
    payload[bit / 8] ^= std::byte{1} << bit % 8;
  }
}

TEST_CASE("a file much larger than what may be held is read in bounded memory") {
  const Scratch scratch;
  constexpr std::uint32_t kRows = 30000, kSize = 512;
  {
    const auto sink = open_sink(scratch.path("blob"));
    RecordWriter writer(*sink, {}, {0});
    Memory memory = shaped(1, 1, 1, kSize, DType::kF32, 0);
    memory.memory_length = memory.segment_length = memory.token_count = kRows;
    memory.keys.assign(key_bytes(memory), std::byte{1});
    memory.values.assign(value_bytes(memory), std::byte{2});
    for (int i = 0; i < 6; ++i) writer.write(memory);
    writer.finish();
    sink->commit();
  }
  StoredRows stored{MappedFile(scratch.path("blob"))};
  REQUIRE(stored.bytes().size() > (std::size_t{700} << 20));
  REQUIRE(take(stored));
  stored.release();
  const std::uint64_t before = resident_bytes();
  std::vector<std::byte> some(std::size_t{1000} * kSize * 4);
  std::uint64_t most = 0;
  for (std::int64_t begin = 0; begin < stored.count(); begin += 1000) {
    stored.copy(Side::kKeys, 0, 0, begin, 1000, some);
    stored.copy(Side::kValues, 0, 0, begin, 1000, some);
    most = std::max(most, resident_bytes());
  }
  CHECK(most - before < (std::uint64_t{600} << 20));  // HeldPages lets go beyond 512 MB
}
