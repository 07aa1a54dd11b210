// A document as estimators see it: memories made one after the other, and losses that read them (algorithm notes 16.1).
// θ: what makes memories; φ: what reads them. Both are leaves whose .grad the backward passes add to.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace uio {

using Tensors = std::vector<at::Tensor>;

// What the reader sees of memories lies along this axis of each carried tensor: [B, G, n·M, d] for keys and values.
inline constexpr std::int64_t kMemoryAxis = 2;

class Recurrence {
 public:
  virtual ~Recurrence() = default;
  // How many memories some loss reads, K.
  virtual std::int64_t memories() const = 0;
  // Rows of a carried tensor that one memory takes, M.
  virtual std::int64_t slots() const = 0;
  // Per loss j, how many memories it reads: the first visible()[j]. Ascending.
  virtual std::span<const std::int64_t> visible() const = 0;
  // Whether memory s depends on the memories before it.
  virtual bool is_recurrent() const = 0;

  // Memory s, differentiable in θ and, where the encoder is recurrent, in `earlier` (memories 0 … s-1).
  virtual at::Tensor encode(std::int64_t s, std::span<const at::Tensor> earlier) = 0;
  // What the reader sees of memory s, differentiable in `memory` and φ. Always as many tensors.
  virtual Tensors transfer(std::int64_t s, const at::Tensor& memory) = 0;
  // Loss j, a scalar, given what it sees of the first visible()[j] memories, joined along the memory axis (empty tensors where it
  // sees none); differentiable in these and in φ. Called once per loss and document.
  virtual at::Tensor loss(std::int64_t j, const Tensors& carried) = 0;
};

}  // namespace uio
