// The CUDA plugin's own part: what the core asks before it puts a model on a device. Torch-free; linking libtorch_cuda beside it is
// what registers LibTorch's CUDA operators when the plugin is loaded.
#include <cuda_runtime_api.h>

// Devices that can be used; 0 when the driver is missing, too old or shows none.
extern "C" int uio_cuda_device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}
