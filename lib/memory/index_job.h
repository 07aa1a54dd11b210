// The work of uio-compress --index: an index of the keys of each blob, beside it.
#pragma once

#include "io/jobs.h"

namespace uio {

// For each input, a blob of memory layers whose memories lie as rows, writes the file that key_index_path() names; it appears when it is whole. Nothing is
// written to the output. Throws what reading throws, and Error{kUsage} for a blob without such memories.
void make_key_indexes(const IndexJob& job, JobIo& io);

}  // namespace uio
