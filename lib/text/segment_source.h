// Segments to work on, wherever they come from: streams of records as they are, or plain text that is segmented on the way.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/host.h"
#include "io/record.h"
#include "text/boundaries.h"
#include "text/documents.h"
#include "text/tokenizer.h"

namespace uio {

// Walks several inputs, each a stream of ours or text; one record at a time, in memory that does not grow with them.
class RecordSource {
 public:
  // `inputs`: paths, `-` is standard input; none is standard input. `cutting` cuts texts, and its length is demanded of streams'
  // segments; length 0 demands nothing and refuses texts. `tokenizer` and `host` must outlive it; without a host, or if it is the last
  // input and none succeeded, an input that cannot be opened throws; otherwise the host is told and the next one is read.
  RecordSource(std::vector<std::string> inputs, const Tokenizer& tokenizer, Cutting cutting,
               DocumentOptions options, Host* host = nullptr);
  ~RecordSource();

  // The next record, or nothing after the last input. Throws Error{kMismatch} for a segment or memory of another tokenizer,
  // or a segment of another length; Error{kData} for damaged streams, invalid text, and an input without any byte: that is no
  // document but a pipe whose writer failed (unless options.accept_empty).
  std::optional<Record> next();
  // Of the stream that the last record came from; empty for text.
  const Provenance& provenance() const;
  // The input that the last record came from, as given.
  const std::string& input() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace uio
