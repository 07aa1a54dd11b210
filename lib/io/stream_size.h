// How long a stream of records will be, before any of its tensors is there.
#pragma once

#include <cstdint>
#include <string>

#include "io/record.h"

namespace uio {

// Counts what a RecordWriter of that level would write: at level 0 exactly, at others at most. Only the headers of memories are needed, their
// tensors may be empty. Throws as RecordWriter does for records that no reader would take; `name` is the output's, for messages.
class StreamSize {
 public:
  explicit StreamSize(std::string name, int level = 0) : name_(std::move(name)), level_(level) {}
  // One section: start, records, finish.
  void start(const Provenance& provenance);
  void add(const Segment& segment);
  void add(const Memory& memory);
  void finish();
  // Of all frames so far.
  std::uint64_t bytes() const { return bytes_; }

 private:
  // The size of one frame, of which `measure` gives map and payload.
  template <typename Measure>
  void add_frame(const Measure& measure);

  std::string name_;
  int level_;
  std::uint64_t bytes_ = 0, number_ = 0;
};

}  // namespace uio
