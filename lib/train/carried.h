// What losses read of memories, as leaves, and the cotangents that come back (algorithm notes 16.5): transfer heads and encoders are
// traversed once, with the sum over all losses, because vector-Jacobian products are linear in their seed.
#pragma once

#include "train/recurrence.h"

namespace uio {

class Carried {
 public:
  explicit Carried(const Recurrence& document) : slots_(document.slots()), memories_(document.memories()) {}

  // Memory s as it is read; kept without its graph.
  void put(std::int64_t s, const Tensors& seen);
  // The first n memories as leaves that require gradients, joined; none are undefined tensors.
  Tensors leaves(std::int64_t n) const;
  // The part of memory s of joined tensors.
  Tensors part(const Tensors& joined, std::int64_t s) const;
  bool is_empty() const { return values_.empty(); }
  // Zeros of one memory's shape.
  Tensors zeros() const;

 private:
  std::int64_t slots_, memories_;
  Tensors values_;  // room for all memories
};

// Loss j of a document on leaves of the first n memories, run backward; what has been put into the parameters' gradients stays there.
struct LossOnLeaves {
  double value;
  Tensors cotangents;  // of the leaves, joined; zeros where nothing came
};
LossOnLeaves loss_on_leaves(Recurrence& document, std::int64_t j, const Carried& carried, std::int64_t n);
// into += scale · from, element by element of the lists.
void add(Tensors& into, const Tensors& from, double scale = 1);
// Runs backward from `outputs` with the given cotangents; outputs that need no gradient are left out.
void backward(const Tensors& outputs, const Tensors& cotangents);
// The cotangent of `memory` from those of what is seen of it: φ's own gradients are not touched. `seen` = transfer(s, memory).
at::Tensor pull_back(const Tensors& seen, const Tensors& cotangents, const at::Tensor& memory);

}  // namespace uio
