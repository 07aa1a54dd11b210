// Whether the processes of a run do the same run: those that read other files, or the same ones at another moment, would train
// something that nobody asked for.
#pragma once

#include "io/json.h"
#include "train/processes.h"

namespace uio {

// `mine`: an object of all that must be the same everywhere. Throws Error{kMismatch} in every process, naming the first that differs.
void check_agreement(Processes& processes, const Json& mine);

}  // namespace uio
