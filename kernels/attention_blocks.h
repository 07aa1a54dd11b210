// The f32 CPU implementation of attention: see attention.h for the contract.
#pragma once

#include "kernels/attention.h"

namespace uio::kernels {

// All tensors f32 on the CPU with unit stride in d. Results do not depend on the number of threads or on the batch.
at::Tensor attention_blocks(std::span<const AttentionPart> parts, double scale);

}  // namespace uio::kernels
