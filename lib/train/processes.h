// The processes of one run, as the trainer sees them. Alone by default.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace uio {

class Processes {
 public:
  virtual ~Processes() = default;
  virtual int rank() const { return 0; }
  virtual int count() const { return 1; }
  // Sums each tensor over all processes, in the order of their ranks, so that every process holds the same bits.
  virtual void sum(const std::vector<at::Tensor>&) {}
};

}  // namespace uio
