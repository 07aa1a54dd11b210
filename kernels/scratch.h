// Memory for a weight that is widened for one product: fresh pages cost more than the conversion.
#pragma once

#include <ATen/core/Tensor.h>

namespace uio::kernels {

// f32 [sizes] of this thread, overwritten by the next call.
at::Tensor scratch(at::IntArrayRef sizes);

}  // namespace uio::kernels
