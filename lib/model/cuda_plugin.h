// The CUDA plugin: a shared object beside the core library, loaded only when a device may be there.
#pragma once

#include <string>

namespace uio {

struct CudaDevices {
  int count = 0;
  std::string reason;  // why there is none
};

// Loads libuio_cuda.so (and with it LibTorch's CUDA part) once, if this build has it and the machine has a driver.
CudaDevices find_cuda_devices();

// The address of a function of the plugin; null where there is no device or no such function.
void* cuda_symbol(const char* name);

}  // namespace uio
