#include "kernels/scratch.h"

#include <ATen/ATen.h>

namespace uio::kernels {

at::Tensor scratch(at::IntArrayRef sizes) {
  thread_local at::Tensor kept;
  const std::int64_t values = c10::multiply_integers(sizes);
  if (!kept.defined() || kept.numel() < values) kept = at::empty({values}, at::kFloat);
  return kept.narrow(0, 0, values).view(sizes);
}

}  // namespace uio::kernels
