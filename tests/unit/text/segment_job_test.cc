#include "text/segment_job.h"

#include "io/stream.h"
#include "unit/text/fixtures.h"
#include "unit/text/recording_host.h"

using namespace uio;
using namespace text_test;

namespace {

struct Run {
  std::string bytes;
  RecordingHost host;
};

void run_into(Run& run, const SegmentJob& job, const std::vector<std::string>& inputs) {
  MemorySink sink;
  JobIo io{inputs, &sink, &run.host, {"uio-segment", "9", {{"segment-length", "8"}}}};
  try {
    segment(job, io);
  } catch (...) {
    run.bytes = sink.bytes();
    throw;
  }
  run.bytes = sink.bytes();
}

std::vector<Segment> read_segments(const std::string& stream, Provenance* provenance = nullptr) {
  const auto source = memory_source(std::as_bytes(std::span(stream)), "stream");
  RecordReader reader(*source);
  std::vector<Segment> segments;
  while (auto record = reader.next()) {
    segments.push_back(std::get<Segment>(*record));
    if (provenance) *provenance = reader.provenance();
  }
  return segments;
}

}  // namespace

TEST_CASE("texts become one section of segments with the stage in its provenance") {
  TempDir dir;
  const std::string first = (dir.path() / "first.txt").string(), second = (dir.path() / "second.txt").string();
  write_file(first, hostile_text(500, 1));
  write_file(second, "");
  const SegmentJob job{.model = (golden() / "bpe-bytes").string(), .segment_length = 8};
  Run run;
  run_into(run, job, {first, second});
  Provenance provenance;
  const std::vector<Segment> segments = read_segments(run.bytes, &provenance);
  REQUIRE(provenance.size() == 1);
  CHECK(provenance[0].program == "uio-segment");
  std::string joined;
  for (const Segment& segment : segments) {
    if (segment.span.document == first) joined += segment.text;
  }
  CHECK(joined == read_file(first));
  CHECK(segments.back().span.document == second);
  CHECK(segments.back().tokens.size() == 1);
  CHECK(run.host.successes == 2);
  CHECK(run.host.done == joined.size());
  CHECK(run.host.total == joined.size());

  Run again;
  run_into(again, job, {first, second});
  CHECK(again.bytes == run.bytes);
}

TEST_CASE("a missing input is told, the others are done; none at all is an error") {
  TempDir dir;
  const std::string good = (dir.path() / "good.txt").string(), missing = (dir.path() / "missing.txt").string();
  write_file(good, "the text");
  const SegmentJob job{.model = (golden() / "bpe-bytes").string(), .segment_length = 8};
  Run run;
  run_into(run, job, {missing, good});
  CHECK(run.host.failures.size() == 1);
  CHECK(read_segments(run.bytes).back().span.document == good);
  Run none;
  CHECK(error_of([&] { run_into(none, job, {missing}); }).kind() == ErrorKind::kIo);
}

TEST_CASE("a document that fails midway leaves a stream that nobody accepts") {
  TempDir dir;
  const std::string bad = (dir.path() / "bad.txt").string(), good = (dir.path() / "good.txt").string();
  write_file(bad, hostile_text(30000, 2) + "\xFF" + hostile_text(30000, 3));
  write_file(good, "the text");
  SegmentJob job{.model = (golden() / "bpe-bytes").string(), .segment_length = 8};
  Run run;
  const Error error = error_of([&] { run_into(run, job, {good, bad}); });
  CHECK(error.kind() == ErrorKind::kData);
  CHECK(error.subject() == bad);
  CHECK(run.bytes.size() > 1000);
  CHECK(error_of([&] { read_segments(run.bytes); }).kind() == ErrorKind::kData);

  job.replace_invalid = true;
  Run replaced;
  run_into(replaced, job, {bad});
  std::string joined;
  for (const Segment& segment : read_segments(replaced.bytes)) joined += segment.text;
  CHECK(joined == read_file(bad));
}

TEST_CASE("the segment length is the adapter's, else 1024") {
  TempDir dir;
  const std::string model = dir.path().string();
  CHECK(default_segment_length(model, "") == 1024);
  fs::create_directory(dir.path() / "adapter");
  write_file(dir.path() / "adapter" / "adapter_config.json", R"({"segment_length": 96})");
  CHECK(default_segment_length(model, "") == 96);
  CHECK(default_segment_length("/nowhere", (dir.path() / "adapter").string()) == 96);
  CHECK(error_of([&] { default_segment_length(model, "/nowhere"); }).kind() == ErrorKind::kIo);
  for (const char* wrong : {"{}", "[]", R"({"segment_length": 0})", R"({"segment_length": -5})", R"({"segment_length": 1.5})",
                            R"({"segment_length": "96"})", R"({"segment_length": 4294967296})", "{"}) {
    write_file(dir.path() / "adapter" / "adapter_config.json", wrong);
    CHECK(error_of([&] { default_segment_length(model, ""); }).kind() == ErrorKind::kData);
  }
}

TEST_CASE("lines and JSON lines are documents when asked for") {
  TempDir dir;
  const std::string path = (dir.path() / "in").string();
  write_file(path, "{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"b\",\"text\":\"y\"}\n");
  SegmentJob job{.model = (golden() / "bpe-bytes").string(), .segment_length = 8, .unit = DocumentUnit::kJsonLine};
  Run json;
  run_into(json, job, {path});
  CHECK(read_segments(json.bytes).back().span.document == "b");
  CHECK(read_segments(json.bytes).back().text == "y");
  job.unit = DocumentUnit::kLine;
  Run lines;
  run_into(lines, job, {path});
  CHECK(read_segments(lines.bytes).back().span.document == path + ":2");
}
