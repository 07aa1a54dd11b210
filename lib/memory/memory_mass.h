// How much of the attention of some tokens falls on each of several memories: by that the segments nearest to a query are chosen.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace uio {

// Positions [begin, begin + count) of a context that one memory takes.
struct MemoryRange {
  std::int64_t begin, count;
};

class MemoryMass {
 public:
  explicit MemoryMass(std::vector<MemoryRange> ranges);
  // One layer's queries [B, H, T, d] at positions `first` … first + T - 1 over keys [B, G, ≥ first + T, d] at positions from 0, both as they meet in
  // attention; all ranges end before `first`.
  void add(const at::Tensor& queries, const at::Tensor& keys, std::int64_t first, double scale);
  // [ranges] double on the CPU: the softmax weight of each, summed over its keys, the tokens, heads and layers so far.
  const at::Tensor& sums() const { return sums_; }
  // The `count` ranges with most of it, or all, in ascending order; of equals the later one, which is nearer.
  std::vector<std::size_t> largest(std::int64_t count) const;

 private:
  std::vector<MemoryRange> ranges_;
  at::Tensor begins_, ends_;  // [ranges] int64
  at::Tensor sums_;
};

}  // namespace uio
