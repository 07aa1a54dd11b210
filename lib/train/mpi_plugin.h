// What the core asks of libuio_mpi.so. Plain C functions: the core does not link MPI, which is another library on every cluster.
#pragma once

#include <cstddef>

namespace uio {

struct MpiApi {
  int version;
  // Each returns 0, or an error that `text` puts into words (a static buffer). Buffers lie in the host's memory.
  int (*join)(int* rank, int* count);
  int (*exchange)(const void* mine, void* theirs, std::size_t bytes);  // as Transport::exchange
  int (*gather)(const void* mine, void* all, std::size_t bytes);       // as Transport::gather
  int (*leave)();
  const char* (*text)(int error);
  const char* (*library)();  // "Open MPI v4.1.4, …", one line
};
inline constexpr int kMpiApiVersion = 1;

}  // namespace uio

// The one symbol of the plugin.
extern "C" const uio::MpiApi* uio_mpi_api();
