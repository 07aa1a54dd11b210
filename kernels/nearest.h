// Softmax attention where of some keys only those count that score highest: exact search, for each head and query.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/attention.h"

namespace uio::kernels {

// attention() over `parts` and, in the same softmax, over the `count` keys of `far` with the greatest q·k for each query and head (all of them where
// there are no more). `far` is visible to all its queries. Parts may be none, and are as attention() wants them but that each query sees at least one
// key of them or of `far`. Any device, any float dtype; not differentiable.
at::Tensor attention_nearest(std::span<const AttentionPart> parts, const AttentionPart& far, std::int64_t count, double scale);

}  // namespace uio::kernels
