// Whether a blob holds what its text gives: stored memories against freshly computed ones.
#pragma once

#include "io/jobs.h"
#include "memory/setup.h"
#include "text/documents.h"

namespace uio {

// Compares the memories of job.verify with those of the documents in io.inputs, one JSON line a memory and a summary.
// Throws Error{kNo} after the summary when a difference of what is stored, relative to the largest value, exceeds its tolerance
// (job.tolerance, else the dtype's and the error that the memory states, as far as its precision excuses one), and Error{kMismatch} when blob and text do not belong together.
void verify(const ScoreJob& job, JobIo& io, const Ready& ready, DocumentOptions options);

}  // namespace uio
