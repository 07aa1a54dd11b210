// The processes that mpirun or srun started, by way of libuio_mpi.so.
#pragma once

#include <memory>

#include "base/host.h"
#include "io/launch.h"
#include "train/transport.h"

namespace uio {

// Joins the others. Throws Error{kDevice} when the plugin or its library is missing, when MPI does not start, and when it finds
// other processes than the launcher's environment says.
std::unique_ptr<Transport> join_by_mpi(const Launch& launch, Host& host);

}  // namespace uio
