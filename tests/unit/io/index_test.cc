#include "io/index.h"

#include "unit/io/samples.h"

using namespace uio;
using namespace uio::test;

namespace {

std::vector<IndexEntry> index_of(const std::string& stream) {
  const auto source = memory_source(as_bytes(stream), "test.uio");
  MemorySink sink;
  write_index(*source, sink);
  std::vector<IndexEntry> entries;
  std::string_view lines = sink.bytes();
  while (!lines.empty()) {
    const auto end = lines.find('\n');
    entries.push_back(parse_index_line(lines.substr(0, end), "test.index"));
    lines.remove_prefix(end + 1);
  }
  return entries;
}

}  // namespace

TEST_CASE("an index finds every record of a stream of several sections") {
  Segment odd = small_segment(7);
  odd.span.document = "no \xff utf-8 \"quoted\"\n";
  const std::vector<Record> records = {small_segment(), small_memory(1), odd, small_memory(3, DType::kF32)};
  const std::string stream = make_stream({records[0], records[1]}) + make_stream({}) + make_stream({records[2], records[3]});
  const auto entries = index_of(stream);
  REQUIRE(entries.size() == records.size());
  // Backwards: each frame stands for itself.
  for (std::size_t i = records.size(); i-- > 0;) {
    CHECK(same(read_indexed_record(as_bytes(stream), entries[i], "test.uio"), records[i]));
    CHECK(entries[i].is_memory == std::holds_alternative<Memory>(records[i]));
  }
}

TEST_CASE("an entry that points elsewhere is refused") {
  const std::string stream = make_stream({small_segment(0), small_segment(1)});
  const auto entries = index_of(stream);
  const auto status = [&](const IndexEntry& entry, const std::string& bytes) {
    return status_of([&] { read_indexed_record(as_bytes(bytes), entry, "test.uio"); });
  };
  CHECK(status(entries[1], stream) == 0);
  IndexEntry bad = entries[1];
  bad.offset += 1;
  CHECK(status(bad, stream) == 3);
  bad = entries[1];
  bad.length -= 1;
  CHECK(status(bad, stream) == 3);
  bad.length += 2;
  CHECK(status(bad, stream) == 3);
  bad = entries[1];
  bad.segment = 0;
  CHECK(status(bad, stream) == 3);
  bad = entries[1];
  bad.document = "b.txt";
  CHECK(status(bad, stream) == 3);
  bad.offset = ~0ull;
  CHECK(status(bad, stream) == 3);
  // A start frame is no record.
  CHECK(status({0, entries[0].offset, "a.txt", 0, false}, stream) == 3);
  CHECK(status({0, 0, "a.txt", 0, false}, stream) == 3);
  std::string flipped = stream;
  flipped[entries[1].offset + entries[1].length - 1] ^= 1;
  CHECK(status(entries[1], flipped) == 3);
}

TEST_CASE("a line that is no entry is refused") {
  for (const char* bad : {"", "[]", "{}", R"({"offset":-1,"length":1,"segment":1,"kind":"segment","document":"a"})",
                          R"({"offset":1,"length":1,"segment":1,"kind":"segment"})",
                          R"({"offset":1,"length":1,"segment":1,"kind":3,"document":"a"})",
                          R"({"offset":1,"length":1,"segment":1,"kind":"segment","document":"a","document_hex":"x"})"}) {
    CAPTURE(bad);
    CHECK(status_of([&] { parse_index_line(bad, "test.index"); }) == 3);
  }
}

TEST_CASE("a damaged stream has no index") {
  const std::string stream = make_stream({small_segment()});
  CHECK(status_of([&] { index_of(stream.substr(0, stream.size() - 1)); }) == 3);
}
