// Softmax attention over keys that lie in several places, as if they were one row of keys: nothing is joined that can be viewed.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>

namespace uio::kernels {

enum class Visible {
  kAll,     // every key
  kCausal,  // key j ≤ query i; as many keys as queries
  kMask     // `mask` [T, S] bool, true: visible
};

// One place of keys. Every part has its own rotated queries, so that positions may be counted per part.
struct AttentionPart {
  at::Tensor queries;  // [B, H, T, d]
  at::Tensor keys;     // [B, G, S, d], H a multiple of G; S ≥ 1
  at::Tensor values;   // [B, G, S, d]
  Visible visible = Visible::kAll;
  at::Tensor mask;
};

// softmax over the keys of all parts of scale · q·k, times the values: [B, H, T, d], laid out as [B, T, H, d].
// Each query sees at least one key of some part. Parts are merged by their log-sum-exp:
// L = logaddexp(l1, l2), o = o1·exp(l1 − L) + o2·exp(l2 − L). Differentiable in queries, keys and values of every part; for f32 on the
// CPU and up to four parts without keeping any scores, and with the bits of the value without a gradient.
at::Tensor attention(std::span<const AttentionPart> parts, double scale);
// One softmax over all scores side by side: the oracle, any device, any float dtype.
at::Tensor attention_reference(std::span<const AttentionPart> parts, double scale);

}  // namespace uio::kernels
