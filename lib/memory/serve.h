// Many requests in one process: JSON Lines in, JSON Lines out, in order (uio-decode --jsonl).
#pragma once

#include "io/jobs.h"
#include "memory/generate.h"
#include "memory/setup.h"

namespace uio {

// What the command line says about an answer.
GenerateRequest request_of(const DecodeJob& job);

// Answers the requests of io.inputs, job.batch at a time; io.output gets each answer as soon as those before it are there. A request
// that fails is answered with its error and does not touch the others.
void serve(const DecodeJob& job, JobIo& io, const Ready& ready);

}  // namespace uio
