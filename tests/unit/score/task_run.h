// Tasks of uio-score run in the test: a tokenizer of no text, documents as segments, and the lines that come out.
#pragma once

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "io/file.h"
#include "io/stream.h"
#include "score/tasks.h"
#include "text/added_tokens.h"
#include "unit/model/tiny.h"
#include "unit/text/recording_host.h"

namespace uio::test {

// Its tokens have names at most; text has none.
class NoTokenizer : public Tokenizer {
 public:
  explicit NoTokenizer(std::int32_t bos, std::vector<std::string> names = std::vector<std::string>(50)) : bos_(bos), names_(std::move(names)) {}
  const std::string& fingerprint() const override { return fingerprint_; }
  std::int32_t vocabulary_size() const override { return static_cast<std::int32_t>(names_.size()); }
  std::int32_t bos() const override { return bos_; }
  std::int32_t eos() const override { return 2; }
  std::vector<Token> encode(std::string_view, bool) const override { return {}; }
  std::size_t safe_cut(std::string_view) const override { return 0; }
  std::string bytes_of(std::int32_t id) const override { return names_.at(static_cast<std::size_t>(id)); }
  bool has_prefix_space() const override { return false; }
  const AddedTokens& special_tokens() const override { return special_; }

 private:
  AddedTokens special_;
  std::int32_t bos_;
  std::vector<std::string> names_;
  std::string fingerprint_ = std::string(64, 'a');
};

// A stream of documents "0", "1", … in segments of `length` tokens.
inline void write_documents(const std::string& path, const std::vector<std::vector<std::int32_t>>& documents, std::uint32_t length) {
  const auto sink = open_sink(path);
  RecordWriter writer(*sink, {});
  for (std::size_t d = 0; d < documents.size(); ++d)
    for (std::size_t begin = 0; begin < documents[d].size(); begin += length) {
      const std::size_t end = std::min(documents[d].size(), begin + length);
      Segment segment;
      segment.span = {std::to_string(d), begin / length, begin, 0, 0, end == documents[d].size()};
      segment.tokenizer = std::string(64, 'a');
      segment.segment_length = length;
      segment.tokens.assign(documents[d].begin() + static_cast<std::ptrdiff_t>(begin), documents[d].begin() + static_cast<std::ptrdiff_t>(end));
      writer.write(segment);
    }
  writer.finish();
  sink->commit();
}

// The lines that a task writes.
inline std::vector<Json> lines_of(const char* task, const ScoreJob& job, const Ready& ready, const std::vector<std::string>& inputs, const Scratch& scratch,
                                  text_test::RecordingHost& host) {
  JobIo io;
  io.inputs = inputs;
  io.host = &host;
  const auto sink = open_sink(scratch.path("lines"));
  io.output = sink.get();
  ScoreJob asked = job;
  if (asked.contexts.empty()) asked.contexts = find_task(task).contexts;
  find_task(task).run(asked, io, ready);
  sink->commit();
  std::vector<Json> lines;
  std::istringstream text(scratch.read("lines"));
  for (std::string line; std::getline(text, line);) lines.push_back(parse_json(line, "line"));
  return lines;
}

}  // namespace uio::test
