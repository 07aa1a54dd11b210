// From how a process was started to the run that it is part of.
#pragma once

#include <memory>
#include <string>

#include "base/host.h"
#include "io/launch.h"
#include "train/processes.h"

namespace uio {

// Finds the others, by MPI or at a store, and waits for them; alone where one was started. Throws Error{kDevice} when what is
// needed for that is missing or the others are not found, Error{kIo} when they are lost on the way. Keeps `host`.
std::unique_ptr<Processes> join_processes(const Launch& launch, Host& host);

}  // namespace uio
