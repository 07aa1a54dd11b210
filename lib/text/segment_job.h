// The work of uio-segment: texts in, one section of segments out.
#pragma once

#include <cstdint>
#include <string>

#include "io/jobs.h"
#include "text/boundaries.h"
#include "text/documents.h"

namespace uio {

struct SegmentJob {
  std::string model;                 // directory
  std::uint32_t segment_length = 0;  // L; 0: the adapter's, else 1024
  std::string adapter;               // directory; empty: `adapter` inside the model directory, if it is there
  bool has_windows = false;          // for memory layers: the window and the tail that config.json says (io/memory_window.h)
  Boundaries boundaries = Boundaries::kFixed;
  DocumentUnit unit = DocumentUnit::kFile;
  bool replace_invalid = false;
  int level = 1;  // zstd
};

// `segment_length` of adapter_config.json in `adapter`, else in `adapter` inside `model` where there is one, else 1024.
// Throws Error{kIo} when a named adapter has none, Error{kData} when it is not a positive integer.
std::uint32_t default_segment_length(const std::string& model, const std::string& adapter);

// Writes the segments of io.inputs to io.output. An input that cannot be opened is reported to the host and passed over; if
// none can be opened the last one's error is thrown. Everything else stops the work where it is: without an end frame what was
// written so far is refused by every reader, so that a document which failed midway never looks whole.
// The caller commits the output.
void segment(const SegmentJob& job, JobIo& io);

}  // namespace uio
