// The gate of the feed-forward layer: silu(gate) · up (arXiv 2002.05202).
#pragma once

#include <ATen/core/Tensor.h>

namespace uio::kernels {

// gate, up [..., n] of one dtype; the result may use gate's storage when `gate` is not needed afterwards.
at::Tensor swiglu(at::Tensor gate, const at::Tensor& up);
at::Tensor swiglu_reference(const at::Tensor& gate, const at::Tensor& up);

}  // namespace uio::kernels
