// How much of a softmax falls on each of several places of keys.
#pragma once

#include <ATen/core/Tensor.h>

namespace uio::kernels {

// log Σ exp(scale · q·k) over all keys, of queries [B, H, T, d] and keys [B, G, S, d], H a multiple of G, S ≥ 1: [B, H, T] in f32 (f64 for f64). Of two
// places with log-sum-exps l1 and l2, the share of the first in one softmax over both is exp(l1 − logaddexp(l1, l2)). Any device, any float dtype.
at::Tensor log_sum_exp(const at::Tensor& queries, const at::Tensor& keys, double scale);

}  // namespace uio::kernels
