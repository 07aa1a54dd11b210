#include "model/cuda_plugin.h"

#include <dlfcn.h>

namespace uio {
namespace {

// The folder of the library that this code is in.
std::string own_directory() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&find_cuda_devices), &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string path = info.dli_fname;
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

CudaDevices look() {
  // LibTorch's CUDA part is gigabytes and takes its time: without a driver there is no reason to load it.
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) return {0, "no CUDA driver on this machine"};
  // It must be in the process before LibTorch is asked its first question about CUDA, or CUDA stays off for good.
  void* plugin = dlopen((own_directory() + "/libuio_cuda.so").c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (plugin == nullptr) return {0, std::string("built without CUDA, or its libraries are missing: ") + dlerror()};
  const auto count = reinterpret_cast<int (*)()>(dlsym(plugin, "uio_cuda_device_count"));
  if (count == nullptr) return {0, "libuio_cuda.so is of another version"};
  const int devices = count();
  return {devices, devices > 0 ? "" : "the CUDA driver shows no device"};
}

}  // namespace

CudaDevices find_cuda_devices() {
  static const CudaDevices found = look();
  return found;
}

}  // namespace uio
