// A memory that goes on from where what was read ended: the records of uio-decode --save.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "io/record.h"
#include "memory/decoder_session.h"
#include "memory/setup.h"

namespace uio {

// The records that were read, the last document of them continued by what the decoder's local text became. Raw segments that the
// decoder compressed are memories now. `ready` must outlive it.
class GrownMemory {
 public:
  // `records` with their tensors; raw segments at their end are the begin of the local text.
  GrownMemory(const Ready& ready, std::vector<Record> records);
  // Segments that the decoder compressed since it began, in order.
  void add(const std::vector<DecoderSession::Compressed>& compressed);
  // All of it; `local` is the rest of the local text and becomes the tail.
  std::vector<Record> finish(const std::vector<std::int32_t>& local);

 private:
  Memory memory_of(const Segment& segment, const DecoderSession::Compressed& compressed) const;
  Segment take(const std::vector<std::int32_t>& tokens);
  std::string text_of(const std::vector<std::int32_t>& tokens);

  const Ready& ready_;
  std::vector<Record> records_;
  Span next_;
  Form form_ = Form::kKv;
  Precision precision_ = Precision::kExact;
  bool has_tokens_ = false;
  std::size_t next_raw_ = 0;  // records before it are memories, or stay raw
  // What the local text begins with. Its own bytes stay what they were: ids do not always give them back (normalisation, invalid UTF-8).
  std::deque<Segment> known_;
};

}  // namespace uio
