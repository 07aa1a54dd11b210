#include "text/segment_source.h"

#include "io/stream.h"
#include "text/segmenter.h"
#include "text/sentencepiece_tokenizer.h"
#include "unit/text/fixtures.h"
#include "unit/text/recording_host.h"

using namespace uio;
using namespace text_test;

namespace {

std::string stream_of(const std::vector<Segment>& segments) {
  MemorySink sink;
  RecordWriter writer(sink, {{"uio-segment", "9", {}}});
  for (const Segment& segment : segments) writer.write(segment);
  writer.finish();
  return sink.bytes();
}

struct Walk {
  std::vector<std::string> documents;
  std::string text;
  std::vector<std::size_t> stages;  // of provenance, per record
};

Walk walk(const std::vector<std::string>& inputs, const Tokenizer& tokenizer, std::uint32_t length, Host* host = nullptr) {
  RecordSource source(inputs, tokenizer, length, {}, host);
  Walk seen;
  while (const auto record = source.next()) {
    seen.documents.push_back(std::get<Segment>(*record).span.document);
    seen.text += std::get<Segment>(*record).text;
    seen.stages.push_back(source.provenance().size());
  }
  return seen;
}

}  // namespace

TEST_CASE("streams and texts give the same segments") {
  const auto tokenizer = load_golden("bpe-bytes");
  TempDir dir;
  const std::string text = (dir.path() / "a.txt").string(), stream = (dir.path() / "a.seg").string();
  const std::string content = hostile_text(300, 1);
  write_file(text, content);
  write_file(stream, stream_of(segment_text(*tokenizer, 50, "a", content)));
  const Walk from_text = walk({text}, *tokenizer, 50), from_stream = walk({stream}, *tokenizer, 50);
  CHECK(from_text.text == content);
  CHECK(from_stream.text == content);
  CHECK(from_text.documents.size() == from_stream.documents.size());
  CHECK(from_text.documents.front() == text);
  CHECK(from_text.stages.front() == 0);
  CHECK(from_stream.documents.front() == "a");
  CHECK(from_stream.stages.front() == 1);
  const Walk both = walk({stream, text}, *tokenizer, 50);
  CHECK(both.text == content + content);
  CHECK(both.stages.front() == 1);
  CHECK(both.stages.back() == 0);
  CHECK(walk({stream}, *tokenizer, 0).text == content);
}

TEST_CASE("weights come from streams and from JSON lines alike") {
  const auto tokenizer = load_golden("bpe-bytes");
  TempDir dir;
  const std::string lines = (dir.path() / "a.jsonl").string(), stream = (dir.path() / "a.seg").string();
  write_file(lines, "{\"prompt\":\"What is it? \",\"response\":\"It is quiet.\"}\n{\"text\":\"the text\"}\n");
  const auto read = [&](const std::string& input, std::vector<Segment>& segments) {
    RecordSource source({input}, *tokenizer, 5, {DocumentUnit::kJsonLine});
    while (const auto record = source.next()) segments.push_back(std::get<Segment>(*record));
  };
  std::vector<Segment> from_lines, from_stream;
  read(lines, from_lines);
  write_file(stream, stream_of(from_lines));
  read(stream, from_stream);
  REQUIRE(from_lines.size() == from_stream.size());
  for (std::size_t i = 0; i < from_lines.size(); ++i) {
    CHECK(from_lines[i].weights == from_stream[i].weights);
    CHECK(from_lines[i].weights.size() == (from_lines[i].span.document == lines + ":1" ? from_lines[i].tokens.size() : 0));
  }
  CHECK(from_lines.front().weights.front() == 0);
  CHECK(from_lines.back().weights.empty());
}

TEST_CASE("segments of another tokenizer or length are refused, naming both") {
  const auto tokenizer = load_golden("bpe-bytes"), other = load_golden("bpe-keep");
  TempDir dir;
  const std::string stream = (dir.path() / "a.seg").string();
  write_file(stream, stream_of(segment_text(*other, 50, "a", "the text")));
  const Error tokens = error_of([&] { walk({stream}, *tokenizer, 50); });
  CHECK(tokens.kind() == ErrorKind::kMismatch);
  CHECK(tokens.reason().find(tokenizer->fingerprint().substr(0, 12)) != std::string::npos);
  CHECK(tokens.reason().find(other->fingerprint().substr(0, 12)) != std::string::npos);
  const Error length = error_of([&] { walk({stream}, *other, 60); });
  CHECK(length.kind() == ErrorKind::kMismatch);
  CHECK(length.reason() == "they have 50 tokens, expected 60");
}

TEST_CASE("cut streams and empty inputs are refused, wherever the cut is") {
  const auto tokenizer = load_golden("bpe-bytes");
  TempDir dir;
  const std::string path = (dir.path() / "a").string();
  const std::string stream = stream_of(segment_text(*tokenizer, 5, "a", "the harbour was quiet"));
  for (std::size_t size = 0; size < stream.size(); ++size) {
    write_file(path, stream.substr(0, size));
    try {
      walk({path}, *tokenizer, 5);
      FAIL("accepted when cut at " << size);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kData) FAIL("cut at " << size << ": " << error.what());
    }
  }
}

TEST_CASE("an input that cannot be opened is told and passed over, if there is someone to tell") {
  const auto tokenizer = load_golden("bpe-bytes");
  TempDir dir;
  const std::string good = (dir.path() / "good.txt").string(), missing = (dir.path() / "missing.txt").string();
  write_file(good, "the text");
  CHECK(error_of([&] { walk({missing, good}, *tokenizer, 5); }).kind() == ErrorKind::kIo);
  RecordingHost host;
  CHECK(walk({missing, good, dir.path().string()}, *tokenizer, 5, &host).text == "the text");
  CHECK(host.failures.size() == 2);
  CHECK(host.successes == 1);
  RecordingHost hopeless;
  CHECK(error_of([&] { walk({missing, missing}, *tokenizer, 5, &hopeless); }).kind() == ErrorKind::kIo);
  CHECK(hopeless.failures.size() == 1);
}

TEST_CASE("text needs a segment length") {
  const auto tokenizer = load_golden("bpe-bytes");
  TempDir dir;
  write_file(dir.path() / "a.txt", "the text");
  CHECK(error_of([&] { walk({(dir.path() / "a.txt").string()}, *tokenizer, 0); }).kind() == ErrorKind::kUsage);
}
