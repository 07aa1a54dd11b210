// The CUDA plugin's NCCL: sends and receives only. Sums are LibTorch's, so that their order is ours.
#include "kernels/nccl_plugin.h"

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstring>

namespace {

constexpr cudaStream_t kDefaultStream = nullptr;
constexpr int kCudaError = 1 << 16;  // added to errors of CUDA, so that `text` can tell them from NCCL's

static_assert(sizeof(ncclUniqueId) == uio::kernels::kNcclIdBytes);

int make_id(char* id) {
  ncclUniqueId made;
  const ncclResult_t error = ncclGetUniqueId(&made);
  if (error == ncclSuccess) std::memcpy(id, &made, sizeof made);
  return error;
}

int join(int device, const char* id, int rank, int count, void** communicator) {
  if (const cudaError_t error = cudaSetDevice(device)) return kCudaError + error;
  ncclUniqueId shared;
  std::memcpy(&shared, id, sizeof shared);
  ncclComm_t made = nullptr;
  const ncclResult_t error = ncclCommInitRank(&made, count, shared, rank);
  *communicator = made;
  return error;
}

int exchange(void* communicator, const void* mine, void* theirs, std::size_t bytes) {
  const auto comm = static_cast<ncclComm_t>(communicator);
  int count = 0;
  if (const ncclResult_t error = ncclCommCount(comm, &count)) return error;
  if (const ncclResult_t error = ncclGroupStart()) return error;
  ncclResult_t failed = ncclSuccess;
  for (int r = 0; r < count && failed == ncclSuccess; ++r) {
    failed = ncclSend(static_cast<const char*>(mine) + r * bytes, bytes, ncclUint8, r, comm, kDefaultStream);
    if (failed == ncclSuccess) failed = ncclRecv(static_cast<char*>(theirs) + r * bytes, bytes, ncclUint8, r, comm, kDefaultStream);
  }
  const ncclResult_t ended = ncclGroupEnd();
  return failed != ncclSuccess ? failed : ended;
}

int gather(void* communicator, const void* mine, void* all, std::size_t bytes) {
  return ncclAllGather(mine, all, bytes, ncclUint8, static_cast<ncclComm_t>(communicator), kDefaultStream);
}

int leave(void* communicator) {
  if (const cudaError_t error = cudaStreamSynchronize(kDefaultStream)) return kCudaError + error;
  return ncclCommDestroy(static_cast<ncclComm_t>(communicator));
}

const char* text(int error) {
  if (error >= kCudaError) return cudaGetErrorString(static_cast<cudaError_t>(error - kCudaError));
  return ncclGetErrorString(static_cast<ncclResult_t>(error));
}

constexpr uio::kernels::NcclApi kApi = {uio::kernels::kNcclApiVersion, make_id, join, exchange, gather, leave, text};

}  // namespace

extern "C" const uio::kernels::NcclApi* uio_nccl_api() { return &kApi; }
