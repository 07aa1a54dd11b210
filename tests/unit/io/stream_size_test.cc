#include "io/stream_size.h"

#include "unit/io/samples.h"

using namespace uio;
using namespace uio::test;

namespace {

std::uint64_t size_of(const std::vector<Record>& records, const Provenance& provenance = small_provenance(), int level = 0) {
  StreamSize size("test.uio", level);
  size.start(provenance);
  for (const Record& record : records) {
    if (const auto* segment = std::get_if<Segment>(&record)) {
      size.add(*segment);
    } else {
      Memory header = std::get<Memory>(record);
      header.keys.clear();
      header.values.clear();
      size.add(header);
    }
  }
  size.finish();
  return size.bytes();
}

}  // namespace

TEST_CASE("the size of a stored stream is known without its tensors") {
  Segment empty = small_segment();
  empty.tokens.clear();
  empty.text.clear();
  empty.span.byte_end = empty.span.byte_begin;
  std::vector<Record> all = {small_segment(), weighted_segment(1), empty};
  for (const DType dtype : {DType::kF32, DType::kBf16, DType::kF16, DType::kF64})
    for (const Form form : {Form::kKv, Form::kHidden}) all.push_back(small_memory(7, dtype, form));
  for (const Precision precision : {Precision::kExact, Precision::kInt8, Precision::kInt4})
    for (const Form form : {Form::kKv, Form::kHidden}) all.push_back(number_memory(precision, 300, form));
  CHECK(size_of({}) == make_stream({}, small_provenance(), 0).size());
  CHECK(size_of({}, {}) == make_stream({}, {}, 0).size());
  for (const Record& record : all) CHECK(size_of({record}) == make_stream({record}, small_provenance(), 0).size());
  CHECK(size_of(all) == make_stream(all, small_provenance(), 0).size());
  for (const int level : {1, 3, 19}) CHECK(size_of(all, small_provenance(), level) >= make_stream(all, small_provenance(), level).size());

  // Several groups of layers, and payloads of more than one block.
  Memory large = small_memory();
  large.layers = 5;
  large.kv_heads = 4;
  large.head_size = 64;
  large.memory_length = 500;
  large.keys.resize(key_bytes(large));
  large.values.resize(value_bytes(large));
  CHECK(size_of({large}) == make_stream({large}, small_provenance(), 0).size());
  large.precision = Precision::kInt4;
  CHECK(size_of({large}) == make_stream({large}, small_provenance(), 0).size());

  // The count in the end frame takes more bytes as it grows.
  std::vector<Record> many(300, Record(small_segment()));
  CHECK(size_of(many) == make_stream(many, small_provenance(), 0).size());
}

TEST_CASE("sections add up, and what no reader would take is refused") {
  StreamSize size("test.uio");
  for (int i = 0; i < 2; ++i) {
    size.start(small_provenance());
    size.add(small_segment());
    size.finish();
  }
  CHECK(size.bytes() == 2 * make_stream({small_segment()}, small_provenance(), 0).size());
  Segment segment = small_segment();
  segment.span.document = std::string(1 << 17, 'x');
  size.start({});
  CHECK(status_of([&] { size.add(segment); }) == 3);
  CHECK(message_of([&] { size.add(segment); }).find("'test.uio'") != std::string::npos);
}
