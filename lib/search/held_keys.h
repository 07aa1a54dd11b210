// Keys of one layer that are in memory, as search wants them.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/far_search.h"

namespace uio {

// Of queries in f32 alone.
class HeldKeys : public kernels::FarKeys {
 public:
  // The keys [count, size] of each matrix, which must outlive it.
  HeldKeys(std::vector<const float*> matrices, std::int64_t count, std::int64_t size) : matrices_(std::move(matrices)), count_(count), size_(size) {}
  std::int64_t count() const override { return count_; }
  const float* keys(std::int64_t matrix, std::int64_t begin, std::int64_t, float*) const override { return matrices_[static_cast<std::size_t>(matrix)] + begin * size_; }
  const double* keys(std::int64_t, std::int64_t, std::int64_t, double*) const override { return nullptr; }

 private:
  std::vector<const float*> matrices_;
  std::int64_t count_, size_;
};

}  // namespace uio
