// The kernels of the CUDA plugin, where a device is in use: who handed them down decides, the ops ask here.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>

#include "kernels/cuda/api.h"

namespace uio::kernels {

// From now on tensors on devices of this kind go through `table`, which is copied; entries that are null are left to the plain
// compositions. Not while ops run. Null takes the table back.
void set_device_kernels(const CudaKernels* table, at::DeviceType type = at::kCUDA);
// The table for tensors like x: null where there is none for x's device, or the plain compositions are forced.
const CudaKernels* device_kernels(const at::Tensor& x);

// The type as the kernels know it; only of f32 and bf16.
Number number_of(const at::Tensor& x);
bool has_number(at::ScalarType type);  // f32 or bf16

[[noreturn]] void fail_launch(const char* kernel, int error);  // Error{kDevice}

// Queues the kernel's work on the device of `on`.
template <typename Job>
void launch(const char* name, int (*kernel)(const Job&), const Job& job, const at::Tensor& on) {
  const c10::DeviceGuard guard(on.device());
  if (const int error = kernel(job)) fail_launch(name, error);
}

}  // namespace uio::kernels
