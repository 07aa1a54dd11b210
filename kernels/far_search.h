// Search of the nearest keys among those that lie anywhere, block by block, and softmax attention over what was found.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "kernels/attention.h"

namespace uio::kernels {

// Keys of one layer that need not be in memory: rows of a matrix for each KV head g of each row b of the batch, number b·G + g. They are read in f32, or in
// f64 where that is computed in. Reading is for any thread.
class FarKeys {
 public:
  virtual ~FarKeys() = default;
  virtual std::int64_t count() const = 0;  // rows of each matrix
  // Rows [begin, begin + count) of a matrix, [count, d]: where they lie, or in `scratch`, which has room for them.
  virtual const float* keys(std::int64_t matrix, std::int64_t begin, std::int64_t count, float* scratch) const = 0;
  virtual const double* keys(std::int64_t matrix, std::int64_t begin, std::int64_t count, double* scratch) const = 0;
};

// With their values, and single rows of both: those of a matrix that `rows` names are written to `to`, one behind the other. Where they lie far apart, waiting
// for one row at a time would take longer than all that is done with it.
class FarRows : public FarKeys {
 public:
  virtual void named_keys(std::int64_t matrix, std::span<const std::int64_t> rows, float* to) const = 0;
  virtual void named_keys(std::int64_t matrix, std::span<const std::int64_t> rows, double* to) const = 0;
  virtual void named_values(std::int64_t matrix, std::span<const std::int64_t> rows, float* to) const = 0;
  virtual void named_values(std::int64_t matrix, std::span<const std::int64_t> rows, double* to) const = 0;
};

// For each query and head its keys with the greatest q·k, the best first and of equal ones the earlier first.
struct Found {
  at::Tensor scores;  // [B, H, T, κ] f32 or f64; −inf where there are no more
  at::Tensor index;   // [B, H, T, κ] int64, rows of the matrix of the query's KV head; −1 where there are no more
};

// Exact search among rows [begin, end): queries [B, H, T, d] on the CPU, of any float dtype, whose heads share `groups` KV heads. Keys are read once for all
// queries; no [T, S] matrix is made. A query that is not finite, or finds keys that are not, has scores that are NaN. The same for any number of threads.
Found find_nearest(const at::Tensor& queries, std::int64_t groups, const FarKeys& far, std::int64_t begin, std::int64_t end, std::int64_t count);
// The nearest of those rows that `candidates` [B, H, T, C] int64 names, none twice for one query; −1 names none.
Found rank_candidates(const at::Tensor& queries, std::int64_t groups, const FarRows& far, const at::Tensor& candidates, std::int64_t count);
// The best of both, which have no row in common.
Found best_of(const Found& a, const Found& b, std::int64_t count);

// attention() over `parts` and, in the same softmax, over the rows of `far` that were found for `queries`, which are those of the parts from the
// `first` on: [B, H, T, d] of their dtype, laid out as [B, T, H, d]. Parts may be none, and each query sees at least one key of them or has found one.
// Not differentiable.
at::Tensor attention_found(std::span<const AttentionPart> parts, std::int64_t first, const at::Tensor& queries, std::int64_t groups, const FarRows& far, const Found& found, double scale);

}  // namespace uio::kernels
