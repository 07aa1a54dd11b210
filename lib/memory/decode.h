// The work of uio-decode.
#pragma once

#include "io/jobs.h"

namespace uio {

// Memories of io.inputs and a prompt → text on io.output; or requests → answers, one JSON line each (job.serve).
void decode(const DecodeJob& job, JobIo& io);

}  // namespace uio
