// Streams that promise more than they hold: no allocation beyond the bounds of uio-stream(5), whatever a header says.
#include <cstdlib>
#include <new>

#include "base/hash.h"
#include "io/frame.h"
#include "io/header_map.h"
#include "io/limits.h"
#include "io/segment_codec.h"
#include "unit/io/samples.h"

namespace {

// The largest single allocation since it was last set to 0, of this program and of the library below it.
std::size_t largest_allocation = 0;

void* allocate(std::size_t size) {
  largest_allocation = std::max(largest_allocation, size);
  if (void* memory = std::malloc(size != 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return std::malloc(size != 0 ? size : 1); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

using namespace uio;
using namespace uio::test;

namespace {

constexpr std::size_t kMiB = 1 << 20;

// A start frame and one record whose header and payload are anything, with checksums and links that hold.
std::string stream_with(FrameHeader record, std::string_view payload) {
  const auto append = [](std::string& to, std::span<const std::byte> bytes) {
    to.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  FrameHeader start;
  HeaderMapWriter map(1);
  map.add_provenance("provenance", {});
  start.map = map.take();
  start.payload_checksum = checksum({});
  std::string stream;
  append(stream, encode_frame_header(start));
  record.number = 1;
  record.link = start.checksum;
  record.payload_checksum = checksum(as_bytes(payload));
  append(stream, encode_frame_header(record));
  return stream.append(payload);
}

FrameHeader memory_header(const Memory& memory, std::uint64_t stored, std::uint64_t decoded) {
  FrameHeader header;
  header.kind = FrameKind::kMemory;
  header.map = encode_memory_map(memory);
  header.stored_bytes = stored;
  header.decoded_bytes = decoded;
  return header;
}

// Status of reading `stream`, and that no allocation was larger than `bound`.
int bounded_status(const std::string& stream, std::size_t bound) {
  largest_allocation = 0;
  const int status = stream_status(stream);
  CHECK(largest_allocation <= bound);
  return status;
}

Memory shaped(std::uint32_t layers, std::uint32_t heads, std::uint32_t length, std::uint32_t size) {
  Memory memory = small_memory(0, DType::kF64);
  memory.layers = layers;
  memory.kv_heads = heads;
  memory.memory_length = length;
  memory.head_size = size;
  return memory;
}

}  // namespace

TEST_CASE("the allocation counter sees the library's allocations") {
  largest_allocation = 0;
  std::string text(3 * kMiB, 'x');
  CHECK(largest_allocation >= 3 * kMiB);
  largest_allocation = 0;
  read_all(*memory_source(as_bytes(text), "m"), 4 * kMiB);
  CHECK(largest_allocation >= 3 * kMiB);
}

TEST_CASE("a payload that is promised but does not come costs what came") {
  const std::uint64_t decoded = 2 * 1024ull * 32 * 1024 * 8;
  const Memory memory = shaped(1, 32, 1024, 1024);
  REQUIRE(key_bytes(memory) + value_bytes(memory) == 2 * 32ull * 1024 * 1024 * 8);
  for (const std::size_t held : {std::size_t{0}, std::size_t{100}, 3 * kMiB}) {
    CHECK(bounded_status(stream_with(memory_header(memory, decoded, decoded), std::string(held, 'p')), 2 * held + kMiB) == 3);
  }
}

TEST_CASE("lengths beyond the limits are refused before anything is taken for them") {
  const Memory memory = small_memory();
  const std::uint64_t most = kMostMemoryBytes;
  for (const auto& [stored, decoded] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{{1ull << 63, 1ull << 63},
                                                                                            {~0ull, ~0ull},
                                                                                            {most + 1, most + 1},
                                                                                            {10, most + 1},
                                                                                            {largest_stored(100) + 1, 100},
                                                                                            {10, 10 * kLargestRatio + 1},
                                                                                            {0, 1},
                                                                                            {1, 0},
                                                                                            {~0ull, 100}}) {
    CAPTURE(stored, decoded);
    CHECK(bounded_status(stream_with(memory_header(memory, stored, decoded), "0123456789"), kMiB) == 3);
  }
}

TEST_CASE("a stored payload longer than its content can be is refused before it is read") {
  const std::uint64_t decoded = 96, stored = largest_stored(decoded) + 1;
  const std::string stream = stream_with(memory_header(small_memory(), stored, decoded), std::string(stored, 'p'));
  CHECK(message_of([&] { read_stream(stream); }).find("has a stored payload of 4194 bytes, at most 4193") != std::string::npos);
}

TEST_CASE("shapes that overflow or exceed the bound are refused before anything is taken for them") {
  // The product of the last is 2^64 bytes with both tensors: nothing, to whoever lets it overflow.
  for (const Memory& memory :
       {shaped(65535, 65535, 65535, 65535), shaped(65535, 65535, 1, 1), shaped(1, 1, 65535, 65535), shaped(32768, 1, 32768, 1),
        shaped(16384, 2, 32768, 16384), shaped(32768, 32768, 32768, 32768)}) {
    largest_allocation = 0;
    const std::string stream = stream_with(memory_header(memory, 0, 0), "");
    CHECK(message_of([&] { read_stream(stream); }).find("f64 that takes more than 4294967296 bytes") != std::string::npos);
    CHECK(largest_allocation <= kMiB);
  }
  // 2^16 of anything is out of range by itself.
  CHECK(bounded_status(stream_with(memory_header(shaped(1 << 16, 1, 1, 1), 100, 72), std::string(100, 'p')), kMiB) == 3);
}

TEST_CASE("a small stream that decodes to much is bounded by what zstd can reach") {
  // 128 KiB of zeros in a zstd frame of a few bytes; the header says that there are 4 GiB of them.
  std::vector<std::byte> payload;
  Compressor(1).append_frame(std::vector<std::byte>(128 * 1024), payload);
  REQUIRE(payload.size() < 64);
  const std::string_view bytes(reinterpret_cast<const char*>(payload.data()), payload.size());
  const Memory memory = shaped(128, 32, 512, 128);
  REQUIRE(key_bytes(memory) == kMostMemoryBytes / 2);
  CHECK(bounded_status(stream_with(memory_header(memory, payload.size(), kMostMemoryBytes), bytes), kMiB) == 3);
  // One that stays within zstd's reach takes its share and is refused by the length of its first plane.
  const Memory small = shaped(1, 1, 256, 256);
  const std::uint64_t decoded = key_bytes(small) + value_bytes(small);
  CHECK(bounded_status(stream_with(memory_header(small, payload.size(), decoded), bytes), decoded + kMiB) == 3);
}

TEST_CASE("a header's map cannot take more than a few times its own bytes") {
  FrameHeader header = memory_header(small_memory(), 0, 0);
  for (const std::string& map : {std::string("\xdf\xff\xff\xff\xff", 5), std::string("\xdd\xff\xff\xff\xff", 5),
                                 std::string("\x81\xa1"
                                             "a\xdd\x7f\xff\xff\xff",
                                             8),
                                 std::string("\x81\xa1"
                                             "a\xdc\x10\x00",
                                             6),
                                 std::string("\x81\xa1"
                                             "a\xc6\xff\xff\xff\xff",
                                             8),
                                 "\x81\xa1"
                                 "a" +
                                     std::string(kLongestMap - 10, '\x91')}) {
    const auto bytes = as_bytes(map);
    header.map.assign(bytes.begin(), bytes.end());
    CHECK(bounded_status(stream_with(header, ""), 4 * kMiB) == 3);
  }
}

TEST_CASE("a header that is longer than allowed is not waited for") {
  std::string stream = make_stream({});
  const std::uint32_t size = 0x7FFFFFFF;
  std::memcpy(stream.data() + 4, &size, 4);
  CHECK(bounded_status(stream, kMiB) == 3);
  CHECK(message_of([&] { read_stream(stream); }).find("header of 2147483655 bytes") != std::string::npos);
}

TEST_CASE("segments: more tokens than L, or a text beyond the bound") {
  Segment segment = small_segment();
  segment.span.byte_end = segment.span.byte_begin + kMostTextBytes + 1;
  FrameHeader header;
  header.kind = FrameKind::kSegment;
  header.map = encode_segment_map(segment);
  header.stored_bytes = 100;
  header.decoded_bytes = 12 + kMostTextBytes + 1;
  CHECK(bounded_status(stream_with(header, std::string(100, 'p')), kMiB) == 3);
  header.decoded_bytes = 17;  // agrees with the payload's size, but not with the span
  CHECK(bounded_status(stream_with(header, std::string(100, 'p')), kMiB) == 3);
}

TEST_CASE("payloads that are sound zstd but not what the header implies") {
  const Memory memory = small_memory();
  Compressor compressor(1);
  const auto good = encode_memory(memory, compressor).payload;
  const std::uint64_t decoded = key_bytes(memory) + value_bytes(memory);
  const auto status = [&](const std::vector<std::byte>& payload) {
    const std::string_view bytes(reinterpret_cast<const char*>(payload.data()), payload.size());
    return message_of([&] { read_stream(stream_with(memory_header(memory, payload.size(), decoded), bytes)); });
  };
  CHECK(status(good).find("or the end of section 1 is missing") != std::string::npos);  // the record itself is fine
  auto more = good;
  compressor.append_frame({}, more);
  CHECK(status(more).find("bytes after its payload") != std::string::npos);
  auto merged = std::vector<std::byte>();
  compressor.append_frame(std::vector<std::byte>(decoded), merged);
  CHECK(status(merged).find("decodes to " + std::to_string(decoded) + " bytes, expected") != std::string::npos);
  CHECK(status(std::vector<std::byte>(good.begin(), good.begin() + 20)).find("is not a") != std::string::npos);
}

TEST_CASE("token ids of a memory that are not those it was made of") {
  const auto message = [](std::vector<std::int32_t> tokens, const std::string& hash) {
    Memory memory = small_memory();
    memory.has_tokens = true;
    memory.tokens = std::move(tokens);
    memory.token_hash = hash;
    Compressor compressor(1);
    const auto payload = encode_memory(memory, compressor).payload;
    const std::string_view bytes(reinterpret_cast<const char*>(payload.data()), payload.size());
    return message_of([&] { read_stream(stream_with(memory_header(memory, payload.size(), payload_bytes(memory)), bytes)); });
  };
  const std::vector<std::int32_t> good = {1, 2, 3, 4}, bad = {1, 2, 3, -4};
  CHECK(message(good, token_hash(good)).find("or the end of section 1 is missing") != std::string::npos);
  CHECK(message(good, digits('4')).find("has token ids that are not those it was made of") != std::string::npos);
  CHECK(message(bad, token_hash(bad)).find("has the negative token id -4") != std::string::npos);
}

TEST_CASE("quantised payloads that are sound zstd but not what the page allows") {
  const Memory memory = number_memory(Precision::kInt8);
  const std::uint64_t decoded = payload_bytes(memory);
  const auto message = [&](std::byte scale, std::byte number) {
    Compressor compressor(1);
    std::vector<std::byte> payload;
    for (int tensor = 0; tensor < 2; ++tensor) {
      const std::size_t scales = tensor == 0 ? 2 * 2 * 7 * 2 : 2 * 2 * 33;  // of 33 memory tokens two a channel
      compressor.append_frame(std::vector<std::byte>(scales, scale), payload);
      compressor.append_frame(std::vector<std::byte>(memory.keys.size() / 4, number), payload);
    }
    const std::string_view bytes(reinterpret_cast<const char*>(payload.data()), payload.size());
    return message_of([&] { read_stream(stream_with(memory_header(memory, payload.size(), decoded), bytes)); });
  };
  CHECK(message(std::byte{127}, std::byte{1}).find("or the end of section 1 is missing") != std::string::npos);
  CHECK(message(std::byte{127}, std::byte{0x80}).find("has a payload with the number -128, out of range") != std::string::npos);
  CHECK(message(std::byte{255}, std::byte{1}).find("has a payload with a scale of exponent 255") != std::string::npos);
  CHECK(message(std::byte{0}, std::byte{1}).find("has a payload with the number 1, out of range") != std::string::npos);
  CHECK(message_of([&] {
          read_stream(stream_with(memory_header(memory, 100, key_bytes(memory) + value_bytes(memory)), std::string(100, 'p')));
        }).find("its header implies " + std::to_string(decoded)) != std::string::npos);
}

TEST_CASE("a segment with more behind its payload is refused") {
  const Segment segment = small_segment();
  Compressor compressor(1);
  auto payload = encode_segment_payload(segment, compressor);
  compressor.append_frame({}, payload);
  FrameHeader header;
  header.kind = FrameKind::kSegment;
  header.map = encode_segment_map(segment);
  header.stored_bytes = payload.size();
  header.decoded_bytes = 17;
  const std::string_view bytes(reinterpret_cast<const char*>(payload.data()), payload.size());
  CHECK(message_of([&] { read_stream(stream_with(header, bytes)); }).find("bytes after its payload") != std::string::npos);
}

TEST_CASE("segments whose weights are not what the header says") {
  const Segment segment = weighted_segment();
  Compressor compressor(1);
  const auto status = [&](const Segment& in_map, const Segment& in_payload, std::uint64_t decoded) {
    const auto payload = encode_segment_payload(in_payload, compressor);
    FrameHeader header;
    header.kind = FrameKind::kSegment;
    header.map = encode_segment_map(in_map);
    header.stored_bytes = payload.size();
    header.decoded_bytes = decoded;
    const std::string_view bytes(reinterpret_cast<const char*>(payload.data()), payload.size());
    return message_of([&] { read_stream(stream_with(header, bytes)); });
  };
  CHECK(status(segment, segment, 20).find("or the end of section 1 is missing") != std::string::npos);  // the record is fine
  CHECK(status(segment, small_segment(), 20).find("decodes to 17 bytes, expected 20") != std::string::npos);
  CHECK(status(segment, small_segment(), 17).find("declares 17 bytes, its header implies 20") != std::string::npos);
  CHECK(status(small_segment(), segment, 20).find("declares 20 bytes, its header implies 17") != std::string::npos);
  Segment fewer = segment;
  fewer.weights[2] = 0;
  CHECK(status(fewer, segment, 20).find("has 2 scored tokens, its header says 1") != std::string::npos);
  Segment more = segment;
  more.weights.assign(4, 1);
  CHECK(status(more, segment, 20).find("field 'scored' of 4, expected 0 to 3") != std::string::npos);
}

TEST_CASE("weights of as many tokens as can be are bounded before they are read") {
  Segment segment = weighted_segment();
  segment.segment_length = kMostTokens;
  segment.tokens.resize(kMostTokens);
  segment.weights.resize(kMostTokens);
  FrameHeader header;
  header.kind = FrameKind::kSegment;
  header.map = encode_segment_map(segment);
  header.stored_bytes = 100;
  header.decoded_bytes = 5 * kMostTokens + 5;
  CHECK(bounded_status(stream_with(header, std::string(100, 'p')), kMiB) == 3);
}

TEST_CASE("negative token ids are refused") {
  Segment segment = small_segment();
  segment.tokens[1] = -1;
  CHECK(stream_status(make_stream({segment})) == 3);
}
