// What the core asks of the CUDA plugin to move bytes between the GPUs of several processes. Torch-free, like the plugin's own part.
#pragma once

#include <cstddef>

namespace uio::kernels {

inline constexpr std::size_t kNcclIdBytes = 128;

struct NcclApi {
  int version;
  // Each returns 0, or an error that `text` puts into words. Buffers lie in the device's memory; everything runs on the device's
  // default stream, as LibTorch's work does, and is ordered with it.
  int (*make_id)(char* id);  // kNcclIdBytes, for all processes of one run
  int (*join)(int device, const char* id, int rank, int count, void** communicator);
  int (*exchange)(void* communicator, const void* mine, void* theirs, std::size_t bytes);  // as Transport::exchange
  int (*gather)(void* communicator, const void* mine, void* all, std::size_t bytes);       // as Transport::gather
  int (*leave)(void* communicator);                                                        // waits for what is under way
  const char* (*text)(int error);
};
inline constexpr int kNcclApiVersion = 1;

}  // namespace uio::kernels

// A symbol of the plugin, where it was built with NCCL.
extern "C" const uio::kernels::NcclApi* uio_nccl_api();
