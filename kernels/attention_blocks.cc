// Attention by blocks with a running softmax (the method of arXiv 2205.14135), over the parts as they lie. Two products and one pass of
// exponentials a block; bound by the products' arithmetic from some hundred keys up.
#include "kernels/attention_blocks.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/products.h"
#include "kernels/rows.h"

namespace uio::kernels {
namespace {

constexpr std::int64_t kQueries = 128, kKeys = 512;  // a block of scores: 256 KB, within a core's second-level cache
constexpr std::int64_t kFewRows = 4;  // of a block: row kernels, which read each key once for each of them; more are worth a call of BLAS

// Queries that are answered together: rows of one matrix.
struct Block {
  std::int64_t batch, group;  // group: KV head
  std::int64_t head, token;   // of the first row
  std::int64_t rows;
};

// Scratch of one thread for blocks of so many rows; not cleared.
struct Scratch {
  Scratch(std::int64_t rows, std::int64_t size)
      : scores(std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(rows * kKeys))),
        sums(std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(rows * size))) {}
  std::unique_ptr<float[]> scores, sums;  // [rows, kKeys], [rows, d]
  float highest[kQueries], totals[kQueries];
};

class Attention {
 public:
  Attention(std::span<const AttentionPart> parts, double scale, bool wants_lse)
      : parts_(parts), scale_(static_cast<float>(scale)), kernel_(row_kernels()) {
    const at::Tensor& q = parts.front().queries;
    batch_ = q.size(0), heads_ = q.size(1), tokens_ = q.size(2), size_ = q.size(3);
    groups_ = parts.front().keys.size(1);
    out_ = at::empty({batch_, tokens_, heads_, size_}, q.options());
    if (wants_lse) lse_ = at::empty({batch_, heads_, tokens_}, q.options());
  }

  at::Tensor run() {
    const std::int64_t shared = heads_ / groups_;
    std::vector<Block> blocks;
    for (std::int64_t b = 0; b < batch_; ++b) {
      for (std::int64_t g = 0; g < groups_; ++g) {
        if (tokens_ == 1) {  // the heads that share keys are the rows: each key is read once
          for (std::int64_t h = 0; h < shared; h += kQueries) blocks.push_back({b, g, g * shared + h, 0, std::min(kQueries, shared - h)});
          continue;
        }
        for (std::int64_t h = 0; h < shared; ++h)
          for (std::int64_t t = 0; t < tokens_; t += kQueries) blocks.push_back({b, g, g * shared + h, t, std::min(kQueries, tokens_ - t)});
      }
    }
    std::int64_t most = 0;
    for (const Block& block : blocks) most = std::max(most, block.rows);
    at::parallel_for(0, static_cast<std::int64_t>(blocks.size()), 1, [&](std::int64_t begin, std::int64_t end) {
      Scratch scratch(most, size_);
      const SequentialProducts sequential;
      for (std::int64_t i = begin; i < end; ++i) answer(blocks[static_cast<std::size_t>(i)], scratch);
    });
    return out_.transpose(1, 2);
  }

  const at::Tensor& lse() const { return lse_; }

 private:
  void answer(const Block& block, Scratch& s) {
    std::fill_n(s.sums.get(), block.rows * size_, 0.0f);
    std::fill_n(s.highest, block.rows, -std::numeric_limits<float>::infinity());
    std::fill_n(s.totals, block.rows, 0.0f);
    for (const AttentionPart& part : parts_) {
      // Under the causal rule no row sees beyond the last one's token.
      const std::int64_t seen = part.visible == Visible::kCausal && tokens_ > 1 ? std::min(part.keys.size(2), block.token + block.rows) : part.keys.size(2);
      for (std::int64_t key = 0; key < seen; key += kKeys) {
        const std::int64_t count = std::min(kKeys, seen - key);
        if (sees_any(part, block.token, tokens_ == 1 ? 1 : block.rows, key, count)) add_keys(part, block, key, count, s);
      }
    }
    float* out = out_.mutable_data_ptr<float>();
    for (std::int64_t row = 0; row < block.rows; ++row) {
      float* to = out + block.batch * out_.stride(0) + token_of(block, row) * out_.stride(1) + head_of(block, row) * out_.stride(2);
      std::copy_n(s.sums.get() + row * size_, size_, to);
      kernel_.scale(to, size_, 1.0f / s.totals[row]);
      if (lse_.defined())
        lse_.mutable_data_ptr<float>()[(block.batch * heads_ + head_of(block, row)) * tokens_ + token_of(block, row)] =
            s.highest[row] + std::log(s.totals[row]);
    }
  }

  // Adds `count` keys from `key` on to the running softmax of the block's rows.
  void add_keys(const AttentionPart& part, const Block& block, std::int64_t key, std::int64_t count, Scratch& s) {
    const at::Tensor &q = part.queries, &k = part.keys, &v = part.values;
    const float* queries = q.const_data_ptr<float>() + block.batch * q.stride(0) + block.head * q.stride(1) + block.token * q.stride(2);
    const float* keys = k.const_data_ptr<float>() + block.batch * k.stride(0) + block.group * k.stride(1) + key * k.stride(2);
    const float* values = v.const_data_ptr<float>() + block.batch * v.stride(0) + block.group * v.stride(1) + key * v.stride(2);
    float* scores = s.scores.get();
    const Factor asking{queries, leading(tokens_ == 1 ? q.stride(1) : q.stride(2))};
    const bool by_row = block.rows <= kFewRows && k.stride(2) == size_ && v.stride(2) == size_;
    if (by_row) {
      for (std::int64_t row = 0; row < block.rows; ++row) {
        kernel_.matvec_f32(keys, queries + row * asking.stride, scores + row * kKeys, count, size_);
        kernel_.scale(scores + row * kKeys, count, scale_);
      }
    } else {
      multiply(block.rows, count, size_, scale_, asking, {keys, leading(k.stride(2)), true}, 0, scores, kKeys);
    }
    for (std::int64_t row = 0; row < block.rows; ++row) {
      float* line = scores + row * kKeys;
      hide_keys(part, token_of(block, row), key, count, line);
      const auto at = static_cast<std::size_t>(row);
      const float highest = std::max(s.highest[at], kernel_.row_max(line, count));
      if (highest == -std::numeric_limits<float>::infinity()) {  // nothing seen yet, and nothing here
        std::fill_n(line, count, 0.0f);
        continue;
      }
      if (highest > s.highest[at]) {
        const float shrink = std::exp(s.highest[at] - highest);
        s.totals[at] *= shrink;
        kernel_.scale(s.sums.get() + row * size_, size_, shrink);
        s.highest[at] = highest;
      }
      s.totals[at] += kernel_.exp_shifted(line, count, highest);
    }
    if (!by_row) return multiply(block.rows, size_, count, 1, {scores, kKeys}, {values, leading(v.stride(2))}, 1, s.sums.get(), size_);
    for (std::int64_t row = 0; row < block.rows; ++row) kernel_.add_weighted(values, scores + row * kKeys, s.sums.get() + row * size_, count, size_);
  }

  std::int64_t token_of(const Block& block, std::int64_t row) const { return tokens_ == 1 ? 0 : block.token + row; }
  std::int64_t head_of(const Block& block, std::int64_t row) const { return tokens_ == 1 ? block.head + row : block.head; }
  // BLAS demands a leading dimension of at least a row's length, also of a matrix of one row, whose stride may be anything.
  std::int64_t leading(std::int64_t stride) const { return std::max(stride, size_); }

  std::span<const AttentionPart> parts_;
  float scale_;
  const RowKernels& kernel_;
  std::int64_t batch_, heads_, tokens_, size_, groups_;
  at::Tensor out_;  // [B, T, H, d]
  at::Tensor lse_;  // [B, H, T], where wanted
};

}  // namespace

void hide_keys(const AttentionPart& part, std::int64_t token, std::int64_t key, std::int64_t count, float* scores) {
  if (part.visible == Visible::kCausal) {
    const std::int64_t first_hidden = std::max<std::int64_t>(0, token + 1 - key);
    if (first_hidden < count) std::fill(scores + first_hidden, scores + count, -std::numeric_limits<float>::infinity());
  } else if (part.visible == Visible::kMask) {
    const bool* sees = part.mask.const_data_ptr<bool>() + token * part.mask.stride(0) + key;
    row_kernels().hide(reinterpret_cast<const std::uint8_t*>(sees), scores, count);
  }
}

bool sees_any(const AttentionPart& part, std::int64_t token, std::int64_t tokens, std::int64_t key, std::int64_t count) {
  if (part.visible == Visible::kAll) return true;
  if (part.visible == Visible::kCausal) return key < token + tokens;
  const bool* sees = part.mask.const_data_ptr<bool>() + token * part.mask.stride(0) + key;
  for (std::int64_t row = 0; row < tokens; ++row)
    if (std::memchr(sees + row * part.mask.stride(0), 1, static_cast<std::size_t>(count))) return true;
  return false;
}

std::vector<AttentionPart> ready_parts(std::span<const AttentionPart> parts) {
  // Queries and keys come from projections and caches with unit stride in d; anything else is laid out anew.
  std::vector<AttentionPart> ready(parts.begin(), parts.end());
  for (AttentionPart& part : ready) {
    for (at::Tensor* tensor : {&part.queries, &part.keys, &part.values})
      if (tensor->stride(3) != 1) *tensor = tensor->contiguous();
    if (part.visible == Visible::kMask && part.mask.stride(1) != 1) part.mask = part.mask.contiguous();
  }
  return ready;
}

at::Tensor attention_blocks(std::span<const AttentionPart> parts, double scale, at::Tensor* lse) {
  const std::vector<AttentionPart> ready = ready_parts(parts);
  Attention attention(ready, scale, lse != nullptr);
  at::Tensor out = attention.run();
  if (lse) *lse = attention.lse();
  return out;
}

}  // namespace uio::kernels
