// Sums over processes whose bits do not depend on who is first or on how the network is laid out.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "train/transport.h"

namespace uio {

// Values of one round: bounds the memory beside the tensors to about twice as many.
inline constexpr std::int64_t kSumRound = 1 << 23;

// Replaces each tensor by its sum over all processes: ((rank 0 + rank 1) + rank 2) + …, element by element, in f32 (f64 for f64),
// then rounded to the tensor's own type. Each process sums the slice of a round that is its own and gives it to all, so that
// every process holds the same bits. The tensors have the same shapes and types everywhere, and lie in the memory that
// `transport` moves. Throws what `transport` throws.
void ordered_sum(const std::vector<at::Tensor>& tensors, Transport& transport, std::int64_t round = kSumRound);

}  // namespace uio
