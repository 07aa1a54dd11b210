// The gradient of attention on the CPU in f32: see attention.h for the op.
#pragma once

#include <span>
#include <vector>

#include "kernels/attention.h"

namespace uio::kernels {

struct WantedSlopes {
  bool queries, keys, values;
};

// Gradients of one part's tensors, shaped like them; undefined where not wanted.
struct PartSlopes {
  at::Tensor queries, keys, values;
};

// From out [B, H, T, d] and lse [B, H, T] of all parts together (attention_blocks.h) and the gradient `slope` of out: what each
// part is responsible for. All f32 on the CPU. Results do not depend on the number of threads.
std::vector<PartSlopes> attention_slopes(std::span<const AttentionPart> parts, double scale, const at::Tensor& out,
                                         const at::Tensor& lse, const at::Tensor& slope, std::span<const WantedSlopes> wanted);

}  // namespace uio::kernels
