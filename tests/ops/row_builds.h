// The builds of the row kernels that this CPU runs.
#pragma once

#include <vector>

#include "kernels/rows.h"

namespace uio::test {

// From the plainest to the one in use.
inline std::vector<const kernels::RowKernels*> row_builds() {
  std::vector<const kernels::RowKernels*> found = {&kernels::generic_row_kernels()};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) found.push_back(kernels::avx2_row_kernels());
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    found.push_back(kernels::avx512_row_kernels());
  return found;
}

}  // namespace uio::test
