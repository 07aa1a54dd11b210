// Products of few rows with weights as they are kept: bound by reading the weights, which are read once for all rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "kernels/int8_linear.h"

namespace uio::kernels {

// A weight [out, in] as the row kernels read it, contiguous on the CPU. Owns nothing.
struct RowWeight {
  at::ScalarType dtype = at::kFloat;  // f32, bf16, f16 or int8
  const void* values = nullptr;
  const float* scales = nullptr;  // [out], of int8
  std::int64_t out = 0, in = 0;
};
RowWeight row_weight(const at::Tensor& weight);
RowWeight row_weight(const Int8Weight& weight);
// Of each of several weights of one kind.
template <typename Weight>
std::vector<RowWeight> row_weights(std::span<const Weight> weights) {
  std::vector<RowWeight> each;
  for (const Weight& weight : weights) each.push_back(row_weight(weight));
  return each;
}

// Whether `rows` rows are few for such a weight: whether reading it is the cost.
bool is_few(std::int64_t rows, at::ScalarType weight);

// Rows [R, in] as products with weights of one dtype read them.
class RowInput {
 public:
  RowInput(at::ScalarType weight, std::int64_t rows, std::int64_t in);
  void set(const float* rows);
  std::int64_t rows() const { return rows_; }
  // out[r, o] of the weight's rows [first, first + count): their products with row r go to out + r · stride + o.
  void multiply(const RowWeight& weight, std::int64_t first, std::int64_t count, float* out, std::int64_t stride) const;

 private:
  at::ScalarType weight_;
  std::int64_t rows_, in_;
  std::unique_ptr<float[]> wide_;         // for f16 and f32 weights; for bf16 ones in the order of pair_up
  std::unique_ptr<std::int16_t[]> whole_;  // for int8 ones
  std::unique_ptr<float[]> scales_;
};

// Rows of several weights, as if they lay end to end, for threads to take shares of as they come, ever smaller ones (guided self-scheduling): the read rate
// of a core is seldom that of the next one, and with halves cut beforehand a token waits for the slower at every product.
class Shares {
 public:
  // outs: rows of each weight. in: numbers of a row.
  Shares(std::span<const std::int64_t> outs, std::int64_t in) : outs_(outs), in_(in) {
    for (const std::int64_t out : outs) blocks_ += (out + kRows - 1) / kRows;
  }
  // Threads that the work is worth, at most those there are.
  std::int64_t threads() const;

  // Calls visit(which, first, count) for shares until none is left to take.
  template <typename Visit>
  void take(std::int64_t threads, const Visit& visit) {
    for (std::int64_t begin = next_.load(), end; begin < blocks_;) {
      end = begin + std::max<std::int64_t>(1, (blocks_ - begin) / (2 * threads));
      if (!next_.compare_exchange_weak(begin, end)) continue;
      std::int64_t before = 0;  // blocks of the weights before
      for (std::size_t which = 0; which < outs_.size() && before < end; ++which) {
        const std::int64_t here = (outs_[which] + kRows - 1) / kRows, low = std::max<std::int64_t>(begin - before, 0), high = std::min(end - before, here);
        if (low < high) visit(which, low * kRows, std::min(high * kRows, outs_[which]) - low * kRows);
        before += here;
      }
      done_.fetch_add(end - begin, std::memory_order_release);
      begin = next_.load();
    }
  }
  // Returns when all that was there has been visited, by whichever thread: nothing is asked of the number of threads.
  void wait() const {
    for (int spins = 0; done_.load(std::memory_order_acquire) < blocks_; ++spins)
      if (spins > kSpins) std::this_thread::yield();
  }

 private:
  static constexpr std::int64_t kRows = 16;
  static constexpr int kSpins = 10000;  // some 10 µs, longer than a share takes: then somebody else may need the core
  std::span<const std::int64_t> outs_;
  std::int64_t in_, blocks_ = 0;
  std::atomic<std::int64_t> next_ = 0, done_ = 0;
};

// Few rows times each weight, of one dtype: [R, out_i] in `dtype`, f32 or bf16, in one pass of the threads.
std::vector<at::Tensor> few_rows_each(const RowInput& input, at::ScalarType dtype, std::span<const RowWeight> weights);
// x [R, in] f32 or bf16, and results of its dtype.
std::vector<at::Tensor> few_rows_each(const at::Tensor& x, std::span<const RowWeight> weights);

// Each product [rows, out] with its bias [out] added in place, where there is one.
std::vector<at::Tensor> with_biases(std::vector<at::Tensor> products, std::span<const at::Tensor> biases);

}  // namespace uio::kernels
