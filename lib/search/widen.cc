#include "search/widen.h"

#include <algorithm>
#include <vector>

#include "kernels/rows.h"

namespace uio {
namespace {

// f32 and f64; false for the others.
template <typename Real>
bool copy_wide(const std::byte* items, DType dtype, std::int64_t count, Real* to) {
  if (dtype == DType::kF32) std::copy_n(reinterpret_cast<const float*>(items), count, to);
  else if (dtype == DType::kF64) std::copy_n(reinterpret_cast<const double*>(items), count, to);
  else return false;
  return true;
}

}  // namespace

void widen(const std::byte* items, DType dtype, std::int64_t count, float* to) {
  if (copy_wide(items, dtype, count, to)) return;
  const kernels::RowKernels& kernel = kernels::row_kernels();
  (dtype == DType::kBf16 ? kernel.widen_bf16 : kernel.widen_f16)(reinterpret_cast<const std::uint16_t*>(items), to, count);
}

void widen(const std::byte* items, DType dtype, std::int64_t count, double* to) {
  if (copy_wide(items, dtype, count, to)) return;
  std::vector<float> wide(static_cast<std::size_t>(count));
  widen(items, dtype, count, wide.data());
  std::copy(wide.begin(), wide.end(), to);
}

}  // namespace uio
