// A memory that goes on from where what was read ended: the records of uio-decode --save.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/record.h"
#include "memory/decoder_session.h"
#include "memory/setup.h"

namespace uio {

// The records that were read, the last document of them continued by what the decoder's local text became. `ready` must outlive it.
class GrownMemory {
 public:
  // `records` with their tensors; a tail at their end is the begin of the local text.
  GrownMemory(const Ready& ready, std::vector<Record> records);
  // Segments that the local text filled, in order.
  void add(const std::vector<DecoderSession::Compressed>& compressed);
  // All of it; `local` is the rest of the local text and becomes the tail.
  std::vector<Record> finish(const std::vector<std::int32_t>& local);

 private:
  Segment take(const std::vector<std::int32_t>& tokens);

  const Ready& ready_;
  std::vector<Record> records_;
  Span next_;
  Form form_ = Form::kKv;
  Precision precision_ = Precision::kExact;
  // The tail's own bytes stay what they were: ids do not always give them back (normalisation, invalid UTF-8).
  std::vector<std::int32_t> tail_tokens_;
  std::string tail_text_;
};

}  // namespace uio
