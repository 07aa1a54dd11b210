// What uio-inspect does: shows, checks, indexes, exports, cuts and joins what the other programs write. Torch-free.
#pragma once

#include <string>
#include <vector>

#include "io/jobs.h"

namespace uio {

struct InspectJob {
  bool verify = false;                 // --verify: decode everything, one summary line an input
  bool tokens = false;                 // --tokens: list the token ids of segments
  bool index = false;                  // --index: the offset index of one stream
  bool cut = false;                    // --cut: the selected records as a stream
  std::string export_path;             // --export FILE: tensors as safetensors; empty: none
  std::vector<std::string> documents;  // --document ID: only records of these documents; none: all
  std::string segments;                // --segments A-B: only records of these segments; empty: all
};

// Inputs are streams of segments or memories, safetensors files, states of training and adapter directories; no input is
// standard input. Listing and verifying report each bad input to the host and go on. Index, export and cut stop at the first:
// what they write is whole or does not appear. Throws Error{kUsage} for options that exclude each other, Error{kNo} when a
// selection matches nothing. Writes to io.output without committing it.
void inspect(const InspectJob& job, JobIo& io);

}  // namespace uio
