// Documents out of segments, and where their tokens end.
#include "score/document.h"

#include <catch2/catch.hpp>

#include "io/stream.h"
#include "text/tokenizer.h"
#include "unit/io/source_tree.h"
#include "unit/model/tiny.h"
#include "unit/text/recording_host.h"

namespace uio {
namespace {

using test::check_error;
using test::Scratch;

std::unique_ptr<Tokenizer> golden_tokenizer() { return load_tokenizer(test::source_path("tests/golden/model")); }

TEST_CASE("segments of a text become the document again") {
  const auto tokenizer = golden_tokenizer();
  const Scratch scratch;
  const std::string text = "Mira kept the second book. She read it from the beginning, all of it.\nThe sea, the café!";
  const std::string path = scratch.write("a.txt", text), other = scratch.write("b.txt", "short");
  text_test::RecordingHost host;
  RecordSource source({path, other}, *tokenizer, 8, {}, &host);
  DocumentGatherer documents(source);
  const auto first = documents.next();
  REQUIRE(first);
  CHECK(first->id == path);
  CHECK(first->text == text);
  CHECK(first->ids.front() == tokenizer->bos());
  std::vector<std::int32_t> expected = {tokenizer->bos()};
  std::vector<std::uint64_t> ends = {0};
  for (const Token& token : tokenizer->encode(text)) {
    expected.push_back(token.id);
    ends.push_back(token.byte_end);
  }
  CHECK(first->ids == expected);
  CHECK(first->token_ends(*tokenizer) == ends);
  const auto second = documents.next();
  REQUIRE(second);
  CHECK(second->text == "short");
  CHECK_FALSE(documents.next());
}

TEST_CASE("ids that the tokenizer would not choose still end with the text") {
  const auto tokenizer = golden_tokenizer();
  ScoredDocument document;
  document.text = "the sea";
  for (const char letter : document.text) {
    const std::string one(1, letter);
    document.ids.push_back(tokenizer->encode(one, false).front().id);
  }
  const std::vector<std::uint64_t> ends = document.token_ends(*tokenizer);
  REQUIRE(ends.size() == document.ids.size());
  for (std::size_t i = 0; i < ends.size(); ++i) CHECK(ends[i] == i + 1);
  document.ids = {tokenizer->bos()};
  document.text.clear();
  CHECK(document.token_ends(*tokenizer) == std::vector<std::uint64_t>{0});
  document.ids.clear();
  CHECK(document.token_ends(*tokenizer).empty());
}

TEST_CASE("the end of a response ends where its text does") {
  const auto tokenizer = golden_tokenizer();
  const Scratch scratch;
  const std::string path = scratch.write("a.jsonl", R"({"id":"a","prompt":"Who is Mira?","response":" The café's owner."})");
  text_test::RecordingHost host;
  RecordSource source({path}, *tokenizer, 8, {DocumentUnit::kJsonLine}, &host);
  const auto document = DocumentGatherer(source).next();
  REQUIRE(document);
  CHECK(document->text == "Who is Mira? The café's owner.");
  std::vector<std::uint64_t> ends = {0};
  for (const Token& token : tokenizer->encode(document->text)) ends.push_back(token.byte_end);
  ends.push_back(document->text.size());
  CHECK(document->ids.back() == tokenizer->eos());
  CHECK(document->token_ends(*tokenizer) == ends);
}

std::string stream_of(const Scratch& scratch, const std::vector<Segment>& segments) {
  MemorySink sink;
  RecordWriter writer(sink, {}, {});
  for (const Segment& segment : segments) writer.write(segment);
  writer.finish();
  return scratch.write("segments", sink.bytes());
}

TEST_CASE("segments that do not make a document") {
  const auto tokenizer = golden_tokenizer();
  const Scratch scratch;
  const auto segment = [&](std::uint64_t index, bool is_last) {
    Segment one;
    one.span = {"book", index, 4 * index, 4 * index, 4 * index + 4, is_last};
    one.tokenizer = tokenizer->fingerprint();
    one.segment_length = 4;
    one.tokens = {270, 271, 272, 273};
    one.text = "text";
    return one;
  };
  const auto gather = [&](const std::vector<Segment>& segments) {
    text_test::RecordingHost host;
    RecordSource source({stream_of(scratch, segments)}, *tokenizer, 4, {}, &host);
    DocumentGatherer documents(source);
    std::vector<ScoredDocument> all;
    while (auto document = documents.next()) all.push_back(std::move(*document));
    return all;
  };
  CHECK(gather({segment(0, false), segment(1, true), segment(0, true)}).size() == 2);
  CHECK(gather({}).empty());
  check_error([&] { gather({segment(1, true)}); }, ErrorKind::kData, {"'book'", "token 4", "expected 0"});
  check_error([&] { gather({segment(0, false), segment(2, true)}); }, ErrorKind::kData, {"'book'", "token 8", "expected 4"});
  check_error([&] { gather({segment(0, false)}); }, ErrorKind::kData, {"'book'", "without an end"});
  Segment other = segment(1, true);
  other.span.document = "tale";
  check_error([&] { gather({segment(0, false), other}); }, ErrorKind::kData, {"'tale'"});
}

}  // namespace
}  // namespace uio
