// GPUs of several processes, by way of NCCL in the CUDA plugin.
#pragma once

#include <memory>

#include "base/host.h"
#include "train/transport.h"

namespace uio {

// A transport for the memory of CUDA device `device`, one process a device. The processes of `meeting` call it together; NCCL's id
// goes from the first to the others through it. Throws Error{kDevice} when the plugin has no NCCL or it does not start.
std::unique_ptr<Transport> join_by_nccl(Transport& meeting, int device, Host& host);

}  // namespace uio
