// The work of uio-compress.
#pragma once

#include "io/jobs.h"

namespace uio {

// Segments (or text) of io.inputs → one section of memories and tails on io.output. The caller commits the output.
void compress(const CompressJob& job, JobIo& io);

}  // namespace uio
