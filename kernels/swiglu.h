// The gate of the feed-forward layer: silu(gate) · up (arXiv 2002.05202).
#pragma once

#include <ATen/core/Tensor.h>

namespace uio::kernels {

// gate, up [..., n] of one dtype. Where `gate` asks for no gradient and none is recorded, the result may take its storage: it must not
// be needed afterwards. Differentiable in both, with the bits of the value without a gradient.
at::Tensor swiglu(at::Tensor gate, const at::Tensor& up);
at::Tensor swiglu_reference(const at::Tensor& gate, const at::Tensor& up);

}  // namespace uio::kernels
