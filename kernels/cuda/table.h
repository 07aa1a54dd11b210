// All kernels for one way to launch them.
#pragma once

#include "kernels/cuda/int8_product.h"
#include "kernels/cuda/loss_rows.h"
#include "kernels/cuda/merge.h"
#include "kernels/cuda/nearest_runs.h"
#include "kernels/cuda/rms_norm.h"
#include "kernels/cuda/rotary.h"
#include "kernels/cuda/swiglu.h"

namespace uio::kernels::cuda {

template <typename Launch>
constexpr CudaKernels kTable = {kCudaKernelsVersion, rms_norm<Launch>,     rms_norm_slope<Launch>,
                                swiglu<Launch>,      swiglu_slope<Launch>, rotary<Launch>,
                                merge<Launch>,       loss_rows<Launch>,    int8_product<Launch>,
                                nearest_runs<Launch>};

}  // namespace uio::kernels::cuda
