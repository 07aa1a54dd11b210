// Where the keys of memory layers stand: all at the first position (arXiv 2307.03170, LongLLaMA).
#pragma once

#include <ATen/core/Tensor.h>

#include "model/rope.h"

namespace uio {

// Keys [..., n, d], un-rotated, as they are attended to from memory.
at::Tensor rotate_to_first(const RopeTable& rope, const at::Tensor& keys);

}  // namespace uio
