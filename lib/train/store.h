// The processes that torchrun started, by way of LibTorch's key-value store. Every byte goes through the store: it takes no other
// library, and is meant for a few processes on one machine; MPI is faster.
#pragma once

#include <memory>

#include "base/host.h"
#include "io/launch.h"
#include "train/transport.h"

namespace uio {

// Joins the others at launch.address:launch.port. Throws Error{kDevice} when they are not there within five minutes. Where one of
// them is lost later, what waits for it gives up after half an hour (Error{kIo}), unless the launcher ends it before.
std::unique_ptr<Transport> join_at_store(const Launch& launch, Host& host);

}  // namespace uio
