#include "kernels/weight_memory.h"

#include <ATen/ATen.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <new>

namespace uio::kernels {
namespace {

constexpr std::size_t kPage = std::size_t{1} << 21, kPiece = 16 * kPage, kAligned = 64;

std::size_t rounded(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

}  // namespace

at::Tensor WeightMemory::empty(at::IntArrayRef sizes, at::ScalarType dtype) {
  const std::size_t bytes = rounded(static_cast<std::size_t>(c10::multiply_integers(sizes)) * c10::elementSize(dtype), kAligned);
  if (!piece_ || size_ - used_ < bytes) {
    size_ = rounded(std::max(bytes, kPiece), kPage), used_ = 0;
    auto* const memory = static_cast<std::byte*>(std::aligned_alloc(kPage, size_));
    if (memory == nullptr) throw std::bad_alloc();
    piece_ = {memory, [](std::byte* gone) { std::free(gone); }};
    // What is refused costs speed alone. Pages come when they are written: what is left of a piece costs addresses, and less than a page of memory.
    madvise(memory, size_, MADV_HUGEPAGE);
  }
  std::byte* const begin = piece_.get() + used_;
  used_ += bytes;
  return at::from_blob(begin, sizes, [piece = piece_](void*) {}, at::TensorOptions().dtype(dtype));
}

}  // namespace uio::kernels
