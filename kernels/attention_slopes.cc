// The blocks of scores are computed anew (arXiv 2205.14135): with the log-sum-exp L and the output O of all parts together,
// P = exp(S − L) are the final weights whatever part the keys lie in, and with D = rowsum(dO∘O)
//   dV += Pᵀ dO,   dS = P ∘ (dO Vᵀ − D),   dQ += dS K,   dK += dSᵀ Q.
// Five products a block where attention itself has two. One task is one group of heads over one part: it alone adds to that
// group's dK and dV and to its heads' dQ, in a fixed order.
#include "kernels/attention_slopes.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <memory>

#include "kernels/attention_blocks.h"
#include "kernels/products.h"
#include "kernels/rows.h"

namespace uio::kernels {
namespace {

// Two blocks of 64 KB. Half as many queries as keys: less is computed in vain at the causal edge. One core at 88 GFLOP/s of
// products, causal T = 1024 or 1024 keys of memory, useful GFLOP/s for d = 32 and 64: 64×256 48-53, 58-66; 128×256 43-50,
// 50-58; 64×512 37-47, 53-57.
constexpr std::int64_t kQueries = 64, kKeys = 256;

// Zeros shaped like x, its heads between tokens and components where x has them there: what comes next in the backward pass
// views them as x was viewed.
at::Tensor zeros_as(const at::Tensor& x) {
  if (x.stride(1) >= x.stride(2)) return at::zeros(x.sizes(), x.options());
  return at::zeros({x.size(0), x.size(2), x.size(1), x.size(3)}, x.options()).transpose(1, 2);
}

struct Rows {
  Factor factor(std::int64_t size) const { return {data, std::max(stride, size)}; }
  float* data;
  std::int64_t stride;
};

// Rows of one batch and head of a [B, H, T, d] tensor; only the gradients' are written to.
Rows rows_of(const at::Tensor& x, std::int64_t batch, std::int64_t head, std::int64_t token = 0) {
  if (!x.defined()) return {nullptr, 0};
  return {const_cast<float*>(x.const_data_ptr<float>()) + batch * x.stride(0) + head * x.stride(1) + token * x.stride(2),
          x.stride(2)};
}

struct Scratch {
  std::unique_ptr<float[]> weights =
      std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(kQueries * kKeys));  // [rows, kKeys]
  std::unique_ptr<float[]> slopes =
      std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(kQueries * kKeys));  // [rows, kKeys]
};

class Slopes {
 public:
  Slopes(std::span<const AttentionPart> parts, double scale, const at::Tensor& lse, const at::Tensor& slope,
         const at::Tensor& means, std::span<const PartSlopes> found)
      : parts_(parts),
        scale_(static_cast<float>(scale)),
        lse_(lse),
        slope_(slope),
        means_(means),
        found_(found),
        kernel_(row_kernels()) {
    const at::Tensor& q = parts.front().queries;
    batch_ = q.size(0), heads_ = q.size(1), tokens_ = q.size(2), size_ = q.size(3), groups_ = parts.front().keys.size(1);
  }

  void run() {
    const auto parts = static_cast<std::int64_t>(parts_.size()), tasks = batch_ * groups_ * parts;
    std::atomic<std::int64_t> next = 0;  // tasks differ in size: each thread takes the next when it is done
    at::parallel_for(0, std::min<std::int64_t>(tasks, at::get_num_threads()), 1, [&](std::int64_t, std::int64_t) {
      Scratch scratch;
      const SequentialProducts sequential;
      for (std::int64_t task = next++; task < tasks; task = next++)
        answer(static_cast<std::size_t>(task % parts), task / parts / groups_, task / parts % groups_, scratch);
    });
  }

 private:
  void answer(std::size_t which, std::int64_t batch, std::int64_t group, Scratch& s) {
    const AttentionPart& part = parts_[which];
    const PartSlopes& found = found_[which];
    if (!found.queries.defined() && !found.keys.defined() && !found.values.defined()) return;
    const std::int64_t shared = heads_ / groups_;
    for (std::int64_t head = group * shared; head < (group + 1) * shared; ++head)
      for (std::int64_t token = 0; token < tokens_; token += kQueries) {
        const std::int64_t rows = std::min(kQueries, tokens_ - token);
        for (std::int64_t key = 0; key < part.keys.size(2); key += kKeys) {
          // Under the causal rule no row sees beyond the last one's token.
          const std::int64_t seen =
              part.visible == Visible::kCausal ? std::min(part.keys.size(2), token + rows) : part.keys.size(2);
          if (key < seen && sees_any(part, token, rows, key, std::min(kKeys, seen - key)))
            add_block(part, found, {batch, group, head, token, rows, key, std::min(kKeys, seen - key)}, s);
        }
      }
  }

  struct Block {
    std::int64_t batch, group, head, token, rows, key, keys;
  };

  void add_block(const AttentionPart& part, const PartSlopes& found, const Block& block, Scratch& s) {
    const Factor q = rows_of(part.queries, block.batch, block.head, block.token).factor(size_),
                 k = rows_of(part.keys, block.batch, block.group, block.key).factor(size_),
                 v = rows_of(part.values, block.batch, block.group, block.key).factor(size_),
                 slope = rows_of(slope_, block.batch, block.head, block.token).factor(size_);
    float *weights = s.weights.get(), *slopes = s.slopes.get();
    multiply(block.rows, block.keys, size_, scale_, q, {k.data, k.stride, true}, 0, weights, kKeys);
    multiply(block.rows, block.keys, size_, 1, slope, {v.data, v.stride, true}, 0, slopes, kKeys);
    const std::int64_t at = (block.batch * heads_ + block.head) * tokens_ + block.token;
    const float *lse = lse_.const_data_ptr<float>() + at, *mean = means_.const_data_ptr<float>() + at;
    for (std::int64_t row = 0; row < block.rows; ++row) {
      float *weight = weights + row * kKeys, *change = slopes + row * kKeys;
      std::int64_t seen = block.keys;
      if (part.visible == Visible::kCausal) {  // no exponentials of what is hidden
        seen = std::clamp<std::int64_t>(block.token + row + 1 - block.key, 0, block.keys);
        std::fill(weight + seen, weight + block.keys, 0.0f);
        std::fill(change + seen, change + block.keys, 0.0f);
      } else {
        hide_keys(part, block.token + row, block.key, block.keys, weight);
      }
      kernel_.attention_slope(weight, change, seen, lse[row], mean[row]);
    }
    if (found.values.defined()) {
      const Rows out = rows_of(found.values, block.batch, block.group, block.key);
      multiply(block.keys, size_, block.rows, 1, {weights, kKeys, true}, slope, 1, out.data, out.factor(size_).stride);
    }
    if (found.queries.defined()) {
      const Rows out = rows_of(found.queries, block.batch, block.head, block.token);
      multiply(block.rows, size_, block.keys, scale_, {slopes, kKeys}, k, 1, out.data, out.factor(size_).stride);
    }
    if (found.keys.defined()) {
      const Rows out = rows_of(found.keys, block.batch, block.group, block.key);
      multiply(block.keys, size_, block.rows, scale_, {slopes, kKeys, true}, q, 1, out.data, out.factor(size_).stride);
    }
  }

  std::span<const AttentionPart> parts_;
  float scale_;
  const at::Tensor &lse_, &slope_, &means_;
  std::span<const PartSlopes> found_;
  const RowKernels& kernel_;
  std::int64_t batch_, heads_, tokens_, size_, groups_;
};

// rowsum(slope ∘ out): [B, H, T].
at::Tensor products_of_rows(const at::Tensor& slope, const at::Tensor& out) {
  const std::int64_t heads = out.size(1), tokens = out.size(2), size = out.size(3);
  at::Tensor sums = at::empty({out.size(0), heads, tokens}, out.options());
  const RowKernels& kernel = row_kernels();
  at::parallel_for(
      0, out.size(0) * heads, std::max<std::int64_t>(1, 16384 / (tokens * size)), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t at = begin; at < end; ++at)
          for (std::int64_t token = 0; token < tokens; ++token)
            sums.mutable_data_ptr<float>()[at * tokens + token] = kernel.dot(
                rows_of(slope, at / heads, at % heads, token).data, rows_of(out, at / heads, at % heads, token).data, size);
      });
  return sums;
}

}  // namespace

std::vector<PartSlopes> attention_slopes(std::span<const AttentionPart> parts, double scale, const at::Tensor& out,
                                         const at::Tensor& lse, const at::Tensor& slope, std::span<const WantedSlopes> wanted) {
  const std::vector<AttentionPart> ready = ready_parts(parts);
  const at::Tensor given = slope.stride(3) == 1 ? slope : slope.contiguous();
  std::vector<PartSlopes> found;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto zeros = [](bool is_wanted, const at::Tensor& x) { return is_wanted ? zeros_as(x) : at::Tensor(); };
    found.push_back({zeros(wanted[i].queries, ready[i].queries), zeros(wanted[i].keys, ready[i].keys),
                     zeros(wanted[i].values, ready[i].values)});
  }
  const at::Tensor means = products_of_rows(given, out);
  Slopes(ready, scale, lse, given, means, found).run();
  return found;
}

}  // namespace uio::kernels
