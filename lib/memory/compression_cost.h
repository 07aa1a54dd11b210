// What compressing a segment takes, from shapes alone: what a dry run asks.
#pragma once

#include <cstdint>
#include <string>

#include "io/record.h"

namespace uio {

// The model's weights may be of the meta device.
class CompressionCost {
 public:
  virtual ~CompressionCost() = default;
  // Arithmetic of the products that make the memory of a segment of n tokens in that form, in FLOPs: two for a multiplication and the
  // addition to its sum. Norms, rotations and exponentials, which are less by the width of a layer, are not in it.
  virtual double segment_flops(std::int64_t tokens, Form form) const = 0;
  // Allocates and lets go, in the order of a run, tensors as large as those that compressing `batch` such segments makes. They are never
  // filled: what the heap grows by is what such a run takes.
  virtual void rehearse(std::int64_t batch, std::int64_t tokens, Form form) const = 0;
  // Whether compressing reads the base's weight of that name.
  virtual bool reads_weight(const std::string& name, Form form) const = 0;
};

}  // namespace uio
