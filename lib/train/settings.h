// What decides the result of a run, by part, so that a state can say what it was made with and refuse to go on as another run.
#pragma once

#include <string>
#include <vector>

#include "io/jobs.h"
#include "io/json.h"
#include "train/corpus.h"
#include "train/estimators.h"
#include "train/plan.h"
#include "train/setup.h"

namespace uio {

// `model` cannot be reset, the others are named by --reset.
// {"model":{…},"objective":{…},"optimiser":{…},"schedule":{…},"data":{…},"random":{…}}
using RunSettings = Json;

RunSettings settings_of(const TrainJob& job, const Workshop& shop, const Objectives& objectives, const Estimator& estimator,
                        const std::vector<Corpus>& corpora, std::uint64_t schedule_length);

// Whether each part that differs from the state's may be begun anew, and which are. Throws Error{kMismatch} naming the first
// option that differs, with both values, when its part is not among `reset`.
std::vector<std::string> parts_to_reset(const RunSettings& kept, const RunSettings& asked, const std::vector<std::string>& reset, const std::string& state);

}  // namespace uio
