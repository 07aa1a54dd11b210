// Memory for weights that are read whole for every token, in pages of 2 MB where the kernel gives them: the hardware's prefetch ends at a page, and with pages of
// 4 KB a core reads 8-bit and 16-bit weights at three quarters of its rate.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <memory>

namespace uio::kernels {

// Hands out tensors from large pieces, which live until the last tensor of theirs is gone. For one thread.
class WeightMemory {
 public:
  // Uninitialised, contiguous, on the CPU.
  at::Tensor empty(at::IntArrayRef sizes, at::ScalarType dtype);

 private:
  std::shared_ptr<std::byte> piece_;
  std::size_t size_ = 0, used_ = 0;
};

}  // namespace uio::kernels
