// A device's kernels before their first use: nobody gets a wrong answer from a GPU, a driver or a build that differs from ours.
#pragma once

#include <c10/core/Device.h>

#include <string>
#include <vector>

#include "kernels/cuda/api.h"

namespace uio::kernels {

// Runs every kernel of `table` on small awkward inputs on `device`, twice, values and gradients, against the plain compositions
// in f64 there; then puts those that held into use for devices of this kind (set_device_kernels). The others are left out, with
// a line each that says why.
std::vector<std::string> take_device_kernels(const CudaKernels& table, at::Device device);

}  // namespace uio::kernels
