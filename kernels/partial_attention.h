// Attention over one part of the keys with what it takes to merge it with that over others, by LibTorch's own kernels.
#pragma once

#include <span>

#include "kernels/attention.h"
#include "kernels/cuda/api.h"

namespace uio::kernels {

struct PartialAttention {
  at::Tensor out;  // [B, H, T, d] of the queries' dtype, components dense
  at::Tensor lse;  // [B, H, T] f32: log Σ exp(scale · q·k), natural
};

// True where LibTorch has a kernel for it whose conditions hold: no mask; on a CUDA device bf16 and f16 with heads of whole 16
// bytes up to 256 numbers, f32 with heads of whole 16 bytes; on the CPU (for tests) bf16 and f32.
bool has_partial_attention(const AttentionPart& part);
PartialAttention partial_attention(const AttentionPart& part, double scale);

// The parts as one, [B, H, T, d] laid out as [B, T, H, d]; by the device's kernel for f32 and bf16. At most kMostPartials.
at::Tensor merged(const CudaKernels& device, std::span<const PartialAttention> partials);

}  // namespace uio::kernels
