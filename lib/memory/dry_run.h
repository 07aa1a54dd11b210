// What uio-compress --dry-run tells: what a run would write, take and compute, before anything is computed.
#pragma once

#include "io/jobs.h"

namespace uio {

// One JSON line on io.output. Reads the inputs, the adapter and the shapes of the model, but not its weights; writes nothing else. Throws
// what compress() throws for the same inputs, except for an adapter of another base whose fingerprint is not remembered.
void dry_run(const CompressJob& job, JobIo& io);

}  // namespace uio
