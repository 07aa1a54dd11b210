// Numbers of memories of any dtype, widened to those that are computed with. No tensor is made for it: single rows are read by the thousand.
#pragma once

#include <cstddef>
#include <cstdint>

#include "io/record.h"

namespace uio {

// `count` items of `dtype` at `items`, aligned for it, written to `to`.
void widen(const std::byte* items, DType dtype, std::int64_t count, float* to);
void widen(const std::byte* items, DType dtype, std::int64_t count, double* to);

}  // namespace uio
