// Several processes that make one run together, over whatever moves their bytes.
#pragma once

#include <memory>

#include "base/host.h"
#include "train/processes.h"
#include "train/transport.h"

namespace uio {

// `transport` moves what is in the host's memory; tensors on a GPU are summed by NCCL, which is joined at the first of them.
// An error that ends the run is told to `host`, by the process that has it.
std::unique_ptr<Processes> make_group(std::unique_ptr<Transport> transport, Host& host);

}  // namespace uio
