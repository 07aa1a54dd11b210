#include "io/stream.h"

#include <zstd.h>

#include "unit/io/samples.h"

using namespace uio;
using namespace uio::test;

namespace {

// A random record with every field away from its default where it can be.
class RandomRecords {
 public:
  explicit RandomRecords(unsigned seed) : random_(seed) {}

  Segment segment() {
    Segment segment;
    segment.text = bytes(below(300));
    segment.span = span(segment.text.size());
    segment.tokenizer = fingerprint();
    segment.is_closed = below(2) == 0;
    segment.tokens.resize(below(50));
    for (auto& token : segment.tokens) token = static_cast<std::int32_t>(random_() & 0x7FFFFFFF);
    if (below(3) == 0) segment.weights.resize(segment.tokens.size());
    for (auto& weight : segment.weights) weight = static_cast<std::uint8_t>(below(2) * random_());
    segment.segment_length = static_cast<std::uint32_t>(
        segment.is_closed ? 1 + below(9) : std::max<std::size_t>(1, segment.tokens.size() + below(5)));
    return segment;
  }

  Memory memory() {
    Memory memory;
    memory.span = span(below(1000));
    memory.base = fingerprint();
    memory.tokenizer = fingerprint();
    memory.adapter = below(4) == 0 ? "" : fingerprint();
    memory.token_hash = fingerprint();
    memory.method = below(2) == 0 ? "uio" : "fot";
    memory.positions = below(2) == 0 ? "staged" : "causal";
    memory.form = below(3) == 0 ? Form::kHidden : Form::kKv;
    memory.dtype = static_cast<DType>(below(4));
    memory.layers = 1 + static_cast<std::uint32_t>(below(4));
    memory.kv_heads = memory.form == Form::kHidden ? 1 : 1 + static_cast<std::uint32_t>(below(3));
    memory.head_size = 1 + static_cast<std::uint32_t>(below(17));
    memory.memory_length = 1 + static_cast<std::uint32_t>(below(9));
    memory.segment_length = 1 + static_cast<std::uint32_t>(below(1 << 24));
    memory.token_count = 1 + static_cast<std::uint32_t>(below(1 << 24));
    if (below(3) == 0) {
      memory.has_tokens = true;
      memory.token_count = 1 + static_cast<std::uint32_t>(below(30));
      memory.tokens.resize(memory.token_count);
      for (auto& token : memory.tokens) token = static_cast<std::int32_t>(below(1 << 30));
      memory.token_hash = token_hash(memory.tokens);
    }
    fill(memory.keys, key_bytes(memory));
    fill(memory.values, value_bytes(memory));
    return memory;
  }

  Record record() { return below(2) == 0 ? Record(segment()) : Record(memory()); }
  std::size_t below(std::size_t bound) { return random_() % bound; }

 private:
  std::string bytes(std::size_t size) {
    std::string text(size, 0);
    for (char& c : text) c = static_cast<char>(random_());
    return text;
  }
  // Random bits: NaNs, infinities and denormals of every dtype are among them.
  void fill(std::vector<std::byte>& to, std::size_t size) {
    to.resize(size);
    for (auto& byte : to) byte = static_cast<std::byte>(random_());
  }
  std::string fingerprint() {
    std::string text;
    for (int i = 0; i < 64; ++i) text += "0123456789abcdef"[below(16)];
    return text;
  }
  Span span(std::uint64_t text_bytes) {
    Span span;
    span.document = bytes(below(20));
    span.segment = random_() >> 1;
    span.first_token = random_() >> 1;
    span.byte_begin = random_() >> 2;
    span.byte_end = span.byte_begin + text_bytes;
    span.is_last = below(2) == 0;
    return span;
  }

  std::mt19937_64 random_;
};

std::vector<Record> small_records() { return {small_segment(), small_memory(1), small_segment(2)}; }

// Frames `a` to `b` of a stream.
std::string frames(const std::string& stream, std::size_t a, std::size_t b) {
  const auto offsets = frame_offsets(stream);
  return stream.substr(offsets[a], offsets[b] - offsets[a]);
}

template <typename T>
void set(std::string& header, std::size_t at, T value) {
  std::memcpy(header.data() + at, &value, sizeof value);
}

}  // namespace

TEST_CASE("records come back as they were, whatever their values") {
  RandomRecords random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<Record> records(random.below(4));
    for (auto& record : records) record = random.record();
    const std::string stream = make_stream(records, small_provenance(), 1 + static_cast<int>(random.below(5)));
    CAPTURE(round);
    REQUIRE(same(read_stream(stream), records));
  }
}

TEST_CASE("every dtype and form comes back bit for bit") {
  for (const DType dtype : {DType::kF32, DType::kBf16, DType::kF16, DType::kF64}) {
    for (const Form form : {Form::kKv, Form::kHidden}) {
      for (const int level : {1, 3, 19}) {
        const std::vector<Record> records = {small_memory(0, dtype, form)};
        CAPTURE(name_of(dtype), name_of(form), level);
        CHECK(same(read_stream(make_stream(records, small_provenance(), level)), records));
      }
    }
  }
}

TEST_CASE("a memory of several groups of layers comes back, the last group smaller") {
  Memory memory = small_memory();
  memory.layers = 5;
  memory.kv_heads = 4;
  memory.head_size = 128;
  memory.memory_length = 256;  // 131072 items a layer: groups of two layers
  memory.keys.resize(key_bytes(memory));
  memory.values.resize(value_bytes(memory));
  std::mt19937 random(3);
  for (auto* tensor : {&memory.keys, &memory.values}) {
    for (auto& byte : *tensor) byte = static_cast<std::byte>(random());
  }
  const std::string stream = make_stream({memory});
  CHECK(same(read_stream(stream), {memory}));
  CHECK(stream.size() < memory.keys.size() + memory.values.size() + 2000);
}

TEST_CASE("quantised memories: near what they were, with the error that they state; written again they are the same bytes") {
  for (const Precision precision : {Precision::kInt8, Precision::kInt4}) {
    for (const Form form : {Form::kKv, Form::kHidden}) {
      const Memory memory = number_memory(precision, 3, form);
      const std::string stream = make_stream({memory});
      const auto records = read_stream(stream);
      const Memory& kept = std::get<Memory>(records.at(0));
      CHECK(kept.precision == precision);
      CHECK(kept.keys.size() == memory.keys.size());
      CHECK(kept.keys != memory.keys);
      const auto largest_difference = [](const std::vector<std::byte>& a, const std::vector<std::byte>& b) {
        float largest = 0, top = 0;
        for (std::size_t i = 0; i < a.size(); i += 4) {
          float x, y;
          std::memcpy(&x, &a[i], 4);
          std::memcpy(&y, &b[i], 4);
          largest = std::max(largest, std::abs(x - y)), top = std::max(top, std::abs(x));
        }
        return top > 0 ? largest / top : 0;
      };
      CHECK(kept.key_error.largest == Approx(largest_difference(memory.keys, kept.keys)));
      if (form == Form::kKv) CHECK(kept.value_error.largest == Approx(largest_difference(memory.values, kept.values)));
      CHECK(kept.key_error.largest > 0);
      CHECK(kept.key_error.largest < (precision == Precision::kInt8 ? 0.01 : 0.15));
      CHECK(kept.key_error.rms < kept.key_error.largest * 4);
      CHECK(make_stream(records) == stream);
      CHECK(make_stream(records, small_provenance(), 0).size() > stream.size());
      CHECK(same(read_stream(make_stream(records, small_provenance(), 0)), records));
    }
  }
}

TEST_CASE("numbers that no scale can keep are refused, naming their place") {
  Memory memory = number_memory(Precision::kInt8);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::size_t index = ((1 * memory.kv_heads + 0) * memory.memory_length + 31) * memory.head_size + 4;
  std::memcpy(&memory.values[4 * index], &nan, 4);
  CHECK(message_of([&] { make_stream({memory}); })
            .find("value that is not finite, or too large (layer 1, head 0, memory token 31, channel 4): precision int8 cannot keep it") !=
        std::string::npos);
  CHECK(status_of([&] { make_stream({memory}); }) == 3);
  memory.precision = Precision::kExact;
  CHECK(same(read_stream(make_stream({memory})), {memory}));
}

TEST_CASE("an empty segment and an empty section are streams") {
  Segment segment = small_segment();
  segment.tokens.clear();
  segment.text.clear();
  segment.span.byte_end = segment.span.byte_begin;
  CHECK(same(read_stream(make_stream({segment})), {segment}));
  CHECK(read_stream(make_stream({})).empty());
}

TEST_CASE("the same records make the same bytes") {
  CHECK(make_stream(small_records()) == make_stream(small_records()));
  CHECK(make_stream(small_records()) != make_stream(small_records(), {}));
}

TEST_CASE("provenance travels with its section") {
  const Provenance first = {{"uio-segment", "0.1.0", {{"segment-length", "4"}, {"jsonl", ""}}}};
  Provenance second = first;
  second.push_back({"uio-compress", "0.2.0", {}});
  const std::string stream = make_stream({small_segment()}, first) + make_stream({small_memory()}, second);
  const auto source = memory_source(as_bytes(stream), "test.uio");
  RecordReader reader(*source);
  const auto check = [&](const Provenance& expected) {
    REQUIRE(reader.provenance().size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK(reader.provenance()[i].program == expected[i].program);
      CHECK(reader.provenance()[i].version == expected[i].version);
      CHECK(reader.provenance()[i].options == expected[i].options);
    }
  };
  REQUIRE(reader.next());
  check(first);
  REQUIRE(reader.next());
  check(second);
  CHECK(!reader.next());
}

TEST_CASE("cat a b is a, then b") {
  RandomRecords random(2);
  const std::vector<Record> a = {random.record(), random.record()}, b = {random.record()};
  std::vector<Record> both = a;
  both.insert(both.end(), b.begin(), b.end());
  CHECK(same(read_stream(make_stream(a) + make_stream({}) + make_stream(b)), both));
}

TEST_CASE("the whole stream is valid zstd and decodes to the payloads") {
  const std::string stream = make_stream({small_segment()});
  std::string content(100, 0);
  const std::size_t size = ZSTD_decompress(content.data(), content.size(), stream.data(), stream.size());
  REQUIRE(!ZSTD_isError(size));
  CHECK(content.substr(0, size) == std::string("\1\0\0\0\xc3\x3a\0\0\xff\xff\xff\x7fhello", 17));
}

TEST_CASE("weights are in the payload, and their count in the header") {
  const std::string stream = make_stream({weighted_segment(), small_segment(1), small_memory(2)});
  const auto source = memory_source(as_bytes(stream), "test.uio");
  RecordReader reader(*source);
  const auto record = reader.next_header();
  REQUIRE(record);
  CHECK(std::get<Segment>(*record).weights.empty());
  CHECK(reader.scored_count() == 2u);
  CHECK(same(reader.decode(), weighted_segment()));
  REQUIRE(reader.next_header());
  CHECK(!reader.scored_count());
  REQUIRE(reader.next_header());
  CHECK(!reader.scored_count());

  Segment unscored = weighted_segment();
  unscored.weights.assign(3, 0);
  CHECK(same(read_stream(make_stream({unscored})), {unscored}));
  Segment other = weighted_segment();
  other.weights.pop_back();
  CHECK(status_of([&] { make_stream({other}); }) == 70);
  other.tokens.clear();
  CHECK(status_of([&] { make_stream({other}); }) != 0);
}

TEST_CASE("headers alone: fields without content, the payload still checked") {
  std::string stream = make_stream(small_records());
  const auto source = memory_source(as_bytes(stream), "test.uio");
  RecordReader reader(*source);
  auto record = reader.next_header();
  REQUIRE(record);
  CHECK(std::get<Segment>(*record).tokens.empty());
  CHECK(reader.token_count() == 3);
  CHECK(same(reader.decode(), small_segment()));
  record = reader.next_header();
  CHECK(std::get<Memory>(*record).layers == 2);
  CHECK(std::get<Memory>(*record).keys.empty());
  CHECK(reader.token_count() == 4);
  CHECK(same(reader.decode(), small_memory(1)));

  const auto offsets = frame_offsets(stream);
  CHECK(reader.frame_offset() == offsets[2]);
  CHECK(reader.frame_bytes() == offsets[3] - offsets[2]);
  stream[offsets[3] - 1] ^= 1;  // the last byte of the memory's payload
  const auto damaged = memory_source(as_bytes(stream), "test.uio");
  RecordReader again(*damaged);
  again.next_header();
  CHECK(status_of([&] { again.next_header(); }) == 3);
}

TEST_CASE("a stream cut at any byte is refused, alone and around a good one") {
  const std::string good = make_stream(small_records());
  std::size_t accepted = 0;
  for (std::size_t size = 0; size < good.size(); ++size) {
    accepted += stream_status(good.substr(0, size)) != 3;
    accepted += size > 0 && stream_status(good + good.substr(0, size)) != 3;
    accepted += size > 0 && stream_status(good.substr(0, size) + good) != 3;
    accepted += size > 0 && stream_status(good.substr(size)) != 3;
  }
  CHECK(accepted == 0);
  CHECK(stream_status(good + good) == 0);
}

TEST_CASE("any flipped bit is refused, alone and after a good stream") {
  const std::string good = make_stream(small_records());
  std::size_t accepted = 0;
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
    accepted += stream_status(bad) != 3;
    if (bit % 7 == 0) accepted += stream_status(good + bad) != 3;
  }
  CHECK(accepted == 0);
}

TEST_CASE("a dropped, repeated, swapped or foreign frame is refused") {
  const std::string good = make_stream({small_segment(0), small_segment(1), small_segment(2), small_segment(3)});
  const std::string other = make_stream({small_segment(5), small_segment(6), small_segment(7), small_segment(8)});
  const std::size_t count = frame_offsets(good).size() - 1;
  REQUIRE(count == 6);
  REQUIRE(frames(good, 0, count) == good);
  for (std::size_t a = 0; a < count; ++a) {
    CAPTURE(a);
    CHECK(stream_status(frames(good, 0, a) + frames(good, a + 1, count)) == 3);
    CHECK(stream_status(frames(good, 0, a + 1) + frames(good, a, count)) == 3);
    // The same place in another stream: its number fits, its link does not.
    CHECK(stream_status(frames(good, 0, a) + frames(other, a, a + 1) + frames(good, a + 1, count)) == (a == 0 ? 0 : 3));
    for (std::size_t b = a + 1; b < count; ++b) {
      CHECK(stream_status(frames(good, 0, a) + frames(good, b, b + 1) + frames(good, a + 1, b) + frames(good, a, a + 1) +
                          frames(good, b + 1, count)) == 3);
      CHECK(stream_status(frames(good, 0, a) + frames(good, b, count)) == 3);
    }
  }
}

TEST_CASE("nothing, and what is no stream, is refused by name") {
  CHECK(stream_status("") == 3);
  CHECK(message_of([] { read_stream(""); }) == "cannot read: 'test.uio': is empty, not a stream of segments or memories");
  CHECK(message_of([] { read_stream("hello, this is a text\n"); }) ==
        "cannot read: 'test.uio': is not a stream of segments or memories");
  CHECK(message_of([] { read_stream("hi"); }) == "cannot read: 'test.uio': is not a stream of segments or memories");
  // A zstd file that is not ours.
  CHECK(stream_status(std::string("\x28\xb5\x2f\xfd\x24\0\1\0\0\0\0\0\0\0\0\0\0", 17)) == 3);
}

TEST_CASE("bytes between and after sections are refused") {
  const std::string good = make_stream(small_records());
  CHECK(stream_status(good + std::string(1, '\0')) == 3);
  CHECK(stream_status(good + std::string(100, '\0')) == 3);
  CHECK(stream_status(good + "\n" + good) == 3);
  // An empty zstd frame or a foreign skippable frame would pass zstd -t.
  const std::string foreign("\x50\x2a\x4d\x18\x08\0\0\0uio\0\r\n\x1a\n", 16);
  CHECK(stream_status(good + foreign) == 3);
  CHECK(stream_status(foreign + good) == 3);
}

TEST_CASE("messages say which record, what was needed and what was found") {
  const std::string good = make_stream(small_records());
  const auto offsets = frame_offsets(good);
  const auto message = [](const std::string& bytes) { return message_of([&] { read_stream(bytes); }); };
  CHECK(message(good.substr(0, offsets[2] - 5)) == "cannot read: 'test.uio': record 1 ends early (need 30 bytes, found 25)");
  CHECK(message(good.substr(0, offsets[2] + 7)) == "cannot read: 'test.uio': record 2 ends early (need 72 bytes, found 7)");
  CHECK(message(good.substr(0, offsets[2])) == "cannot read: 'test.uio': record 2 or the end of section 1 is missing");
  CHECK(message(good.substr(0, offsets[1]) + good) == "cannot read: 'test.uio': record 1 or the end of section 1 is missing");
  CHECK(message(good + good.substr(offsets[1])) == "cannot read: 'test.uio': start of section 2 is missing");
  CHECK(message(good.substr(0, good.size() - 1)).find("ends early") != std::string::npos);
  std::string flipped = good;
  flipped[offsets[2] - 1] ^= 1;
  CHECK(message(flipped) == "cannot read: 'test.uio': record 1 is damaged (payload checksum differs)");
}

TEST_CASE("another major version is status 4, naming both; only a sound header has a version") {
  const std::string good = make_stream(small_records());
  const std::string other = forge(good, 0, [](std::string& header) { header[16] = 2; });
  CHECK(message_of([&] { read_stream(other); }) ==
        "cannot read: 'test.uio': start of section 1 has format version 2, this program reads version 1");
  CHECK(stream_status(other) == 4);
  std::string damaged = good;
  damaged[16] = 2;
  CHECK(stream_status(damaged) == 3);
  // A newer minor version is read.
  CHECK(stream_status(forge(good, 0, [](std::string& header) { header[17] = 9; })) == 0);
}

TEST_CASE("unknown kinds: passed over when the flag allows it, else status 4") {
  const std::string good = make_stream(small_records());
  const auto with = [&](char kind, char flags) {
    return forge(good, 2, [&](std::string& header) {
      header[18] = kind;
      header[19] = flags;
    });
  };
  CHECK(stream_status(with(3, 0)) == 0);
  CHECK(same(read_stream(with(9, 1)), {small_segment(), small_segment(2)}));
  CHECK(stream_status(with(9, 0)) == 4);
  CHECK(stream_status(with(9, 3)) == 4);
  CHECK(stream_status(with(3, 1)) == 4);
  CHECK(stream_status(with(0, 0)) == 4);
}

TEST_CASE("headers that contradict themselves are refused even with the right checksums") {
  const std::string good = make_stream(small_records());
  const auto status = [&](std::size_t frame, std::size_t at, auto value) {
    return stream_status(forge(good, frame, [&](std::string& header) { set(header, at, value); }));
  };
  REQUIRE(stream_status(forge(good, 1, [](std::string&) {})) == 0);
  CHECK(status(1, 20, std::uint32_t{3}) == 3);  // map bytes
  CHECK(status(1, 20, std::uint32_t{0xFFFFFFFF}) == 3);
  CHECK(status(1, 24, std::uint64_t{7}) == 3);   // number
  CHECK(status(1, 32, std::uint64_t{31}) == 3);  // stored
  CHECK(status(1, 32, std::uint64_t{1} << 60) == 3);
  CHECK(status(1, 40, std::uint64_t{18}) == 3);  // decoded
  CHECK(status(1, 40, std::uint64_t{1} << 60) == 3);
  CHECK(status(1, 48, std::uint64_t{1}) == 3);     // payload checksum
  CHECK(status(1, 56, std::uint64_t{1}) == 3);     // link
  CHECK(status(0, 56, std::uint64_t{1}) == 3);     // a start frame links to nothing
  CHECK(status(0, 40, std::uint64_t{1}) == 3);     // brackets have no payload
  CHECK(status(4, 64 + 9, std::uint8_t{2}) == 3);  // the end's count
  CHECK(status(4, 64 + 9, std::uint8_t{3}) == 0);
}

TEST_CASE("records are handed on before what follows them has come") {
  // A source that fails when it is asked for more than the first record.
  const std::string good = make_stream(small_records());
  struct Short : Source {
    explicit Short(std::string_view bytes) : bytes(bytes) {}
    std::size_t read(std::span<std::byte> buffer) override {
      if (bytes.empty()) throw std::logic_error("read too far");
      const std::size_t count = std::min<std::size_t>(buffer.size(), 1);
      std::memcpy(buffer.data(), bytes.data(), count);
      bytes.remove_prefix(count);
      return count;
    }
    const std::string& name() const override { return label; }
    std::string_view bytes;
    std::string label = "short";
  } source{std::string_view(good).substr(0, frame_offsets(good)[2])};
  RecordReader reader(source);
  CHECK(same(*reader.next(), small_segment()));
  CHECK_THROWS_AS(reader.next(), std::logic_error);
}

TEST_CASE("what no reader would take is not written") {
  const auto status = [](const Record& record) { return status_of([&] { make_stream({record}); }); };
  Segment segment = small_segment();
  segment.span.document = std::string(65537, 'x');
  CHECK(status(segment) == 3);
  segment.span.document.pop_back();
  CHECK(status(segment) == 0);
  segment = small_segment();
  segment.text += "!";
  CHECK(status(segment) == 70);
  segment = small_segment();
  segment.tokens.resize(5);
  CHECK(status(segment) == 3);
  segment.is_closed = true;
  CHECK(status(segment) == 0);
  segment = small_segment();
  segment.tokenizer = "none";
  CHECK(status(segment) == 3);
  segment.tokenizer = "";
  CHECK(status(segment) == 3);
  Memory memory = small_memory();
  memory.keys.pop_back();
  CHECK(status(memory) == 70);
  memory = small_memory();
  memory.method = "";
  CHECK(status(memory) == 3);
  memory = small_memory();
  memory.layers = 0;
  CHECK(status(memory) == 3);
  memory = small_memory();
  memory.adapter = "";
  CHECK(status(memory) == 0);
  CHECK(status_of([] { make_stream({}, {{"program", "1", {{"same", "1"}, {"same", "2"}}}}); }) == 3);
  CHECK(status_of([] { make_stream({}, {{"pro\xffgram", "1", {}}}); }) == 3);
  CHECK(status_of([] { make_stream({}, {}, -1); }) == 2);
  CHECK(status_of([] { make_stream({}, {}, 23); }) == 2);
}

TEST_CASE("a record copied raw into another stream is the same record") {
  const std::string from = make_stream(small_records());
  const auto source = memory_source(as_bytes(from), "test.uio");
  RecordReader reader(*source);
  MemorySink sink;
  RecordWriter writer(sink, small_provenance());
  while (reader.next_header()) writer.write_raw(reader.raw());
  writer.finish();
  CHECK(sink.bytes() == from);
}

TEST_CASE("looks_like_stream needs the first 16 bytes") {
  const std::string stream = make_stream({});
  CHECK(looks_like_stream(as_bytes(stream).first(16)));
  CHECK(!looks_like_stream(as_bytes(stream).first(15)));
  CHECK(!looks_like_stream(as_bytes("plain text, sixteen bytes")));
}
