#include "kernels/rows.h"

#include "kernels/policy.h"

namespace uio::kernels {

const RowKernels& row_kernels() {
  static const RowKernels& chosen = []() -> const RowKernels& {
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
      return *avx512_row_kernels();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return *avx2_row_kernels();
    return generic_row_kernels();
  }();
  return chosen;
}

const Tiles* tiles() {
  static const Tiles* const chosen = [] {
    const RowKernels* const avx2 = avx2_row_kernels();
    return row_kernels().tiles == nullptr && avx2 != nullptr && __builtin_cpu_supports("avx512bw") && __builtin_cpu_is("amd") ? avx2->tiles : row_kernels().tiles;
  }();
  return chosen;
}

const char* instruction_set() { return row_kernels().instruction_set; }

}  // namespace uio::kernels
