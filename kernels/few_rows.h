// Products of few rows with weights as they are kept: bound by reading the weights, which are read once for all rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/int8_linear.h"
#include "kernels/work_shares.h"

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

// Calls work(member) for each member below `members`, as far as there are threads side by side.
void for_each_member(std::int64_t members, const std::function<void(std::int64_t member)>& work);

// Asks for the first kilobyte of the weight's rows from `row` on, before they are needed.
void warm(const RowWeight& weight, std::int64_t row);

// Rows of several weights, as if they lay end to end, for threads to divide among themselves.
class Shares {
 public:
  static constexpr std::int64_t kRows = 16;  // a share begins at a multiple of it

  // Threads that products with all the weights are worth, at most those there are.
  static std::int64_t worth(std::span<const RowWeight> weights);

  Shares(std::span<const RowWeight> weights, std::int64_t members) : weights_(weights), blocks_(blocks_of(weights), members) {}
  // As Tasks::take, with visit(which, first, count) for rows of a weight.
  template <typename Visit>
  void take(std::int64_t member, const Visit& visit) {
    blocks_.take(member, [&](std::int64_t begin, std::int64_t end) { for_each_weight(begin, end, visit); });
  }
  // Asks for what the member begins with.
  void warm(std::int64_t member) const {
    const std::int64_t begin = blocks_.begin_of(member);
    for_each_weight(begin, begin + 1, [&](std::size_t which, std::int64_t first, std::int64_t) { kernels::warm(weights_[which], first); });
  }
  void wait() const { blocks_.wait(); }

 private:
  static std::int64_t blocks_of(const RowWeight& weight) { return (weight.out + kRows - 1) / kRows; }
  static std::int64_t blocks_of(std::span<const RowWeight> weights) {
    std::int64_t blocks = 0;
    for (const RowWeight& weight : weights) blocks += blocks_of(weight);
    return blocks;
  }
  template <typename Visit>
  void for_each_weight(std::int64_t begin, std::int64_t end, const Visit& visit) const {
    std::int64_t before = 0;  // blocks of the weights before
    for (std::size_t which = 0; which < weights_.size() && before < end; ++which) {
      const std::int64_t here = blocks_of(weights_[which]), low = std::max<std::int64_t>(begin - before, 0), high = std::min(end - before, here);
      if (low < high) visit(which, low * kRows, std::min(high * kRows, weights_[which].out) - low * kRows);
      before += here;
    }
  }
  std::span<const RowWeight> weights_;
  Tasks blocks_;
};

// Few rows times each weight, of one dtype: [R, out_i] in `dtype`, f32 or bf16, in one pass of the threads.
std::vector<at::Tensor> few_rows_each(const RowInput& input, at::ScalarType dtype, std::span<const RowWeight> weights);
// x [R, in] f32 or bf16, and results of its dtype.
std::vector<at::Tensor> few_rows_each(const at::Tensor& x, std::span<const RowWeight> weights);

// Each product [rows, out] with its bias [out] added in place, where there is one.
std::vector<at::Tensor> with_biases(std::vector<at::Tensor> products, std::span<const at::Tensor> biases);

}  // namespace uio::kernels
