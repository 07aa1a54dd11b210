// The work of uio-train-step: segments and a state in, the state some steps later out.
#pragma once

#include <string>
#include <vector>

#include "io/jobs.h"

namespace uio {

// Makes the steps that the job asks for; one JSON line of metrics a step goes to io.output.
// Throws what models, streams and states throw, Error{kMismatch} naming each option that differs from the state's, and
// Error{kData} naming step and tensor when a number is not finite (the last saved state stays).
void train(const TrainJob& job, JobIo& io);

// The table of estimators, for people.
std::vector<std::string> estimator_table();

}  // namespace uio
