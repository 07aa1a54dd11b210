// What the decoder reads of a memory.
#pragma once

#include <ATen/core/Tensor.h>

namespace uio {

// Keys and values of memories, per layer that has them. Keys are un-rotated.
struct KeysValues {
  at::Tensor keys, values;  // [B, N, G, M, d]
};

}  // namespace uio
