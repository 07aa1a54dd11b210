// The CUDA plugin's kernels: the bodies of kernels/cuda/, launched on the device. Torch-free.
#include <cuda_runtime.h>

#include "kernels/cuda/table.h"

namespace {

using uio::kernels::cuda::kMostGroups;

// The threads of a block; see kernels/cuda/team.h.
class BlockTeam {
 public:
  static constexpr int kLanes = 32;
  __device__ explicit BlockTeam(float* scratch) : scratch_(scratch) {}
  __device__ int index() const { return static_cast<int>(threadIdx.x); }
  __device__ int size() const { return static_cast<int>(blockDim.x); }
  __device__ float partner(float x, int distance) const { return __shfl_xor_sync(0xffffffffu, x, distance); }
  __device__ void wait() const { __syncthreads(); }
  __device__ float* scratch() const { return scratch_; }

 private:
  float* scratch_;
};

template <typename Body>
__global__ void __launch_bounds__(kMostGroups* BlockTeam::kLanes) run_body(const Body body) {
  __shared__ float scratch[kMostGroups];
  BlockTeam team(scratch);
  body(team, static_cast<std::int64_t>(blockIdx.x), static_cast<std::int64_t>(gridDim.x));
}

struct DeviceLaunch {
  static constexpr int kLanes = BlockTeam::kLanes;

  template <typename Body>
  static int run(std::int64_t blocks, int groups, const Body& body) {
    if (blocks == 0) return 0;
    if (blocks > 0x7fffffff) return cudaErrorInvalidConfiguration;
    run_body<<<static_cast<unsigned>(blocks), static_cast<unsigned>(groups * kLanes), 0, nullptr>>>(body);
    return cudaGetLastError();
  }
};

}  // namespace

extern "C" const uio::kernels::CudaKernels* uio_cuda_kernels() { return &uio::kernels::cuda::kTable<DeviceLaunch>; }
