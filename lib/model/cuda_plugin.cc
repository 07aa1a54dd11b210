#include "model/cuda_plugin.h"

#include <dlfcn.h>

#include "base/plugin.h"

namespace uio {
namespace {

const Plugin& cuda_plugin() {
  static const Plugin plugin = open_plugin("libuio_cuda.so");
  return plugin;
}

CudaDevices look() {
  // LibTorch's CUDA part is gigabytes and takes its time: without a driver there is no reason to load it.
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) return {0, "no CUDA driver on this machine"};
  // It must be in the process before LibTorch is asked its first question about CUDA, or CUDA stays off for good.
  const Plugin& plugin = cuda_plugin();
  if (plugin.handle == nullptr) return {0, "built without CUDA, or its libraries are missing: " + plugin.reason};
  const auto count = reinterpret_cast<int (*)()>(symbol_of(plugin, "uio_cuda_device_count"));
  if (count == nullptr) return {0, "libuio_cuda.so is of another version"};
  const int devices = count();
  return {devices, devices > 0 ? "" : "the CUDA driver shows no device"};
}

}  // namespace

CudaDevices find_cuda_devices() {
  static const CudaDevices found = look();
  return found;
}

void* cuda_symbol(const char* name) { return find_cuda_devices().count > 0 ? symbol_of(cuda_plugin(), name) : nullptr; }

}  // namespace uio
