// The work of uio-score.
#pragma once

#include "io/jobs.h"

namespace uio {

// Documents of io.inputs → one JSON line an item, summaries last; or the verdict on a blob (job.verify).
void score(const ScoreJob& job, JobIo& io);

}  // namespace uio
