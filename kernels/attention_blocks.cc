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
#include <utility>
#include <vector>

#include "kernels/products.h"
#include "kernels/rows.h"

namespace uio::kernels {
namespace {

constexpr std::int64_t kQueries = 128, kKeys = 512;  // a block of scores: 256 KB, within a core's second-level cache
constexpr std::int64_t kLeast = 1 << 17;  // multiplications that are worth threads: some 10 µs
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
  std::unique_ptr<float[]> wide_keys, wide_values;  // [kKeys, d] of bf16 ones, made when they come
  float highest[kQueries], totals[kQueries];
};

class Attention {
 public:
  Attention(std::span<const RowPart> parts, const AttentionShape& shape, double scale, float* out, float* lse)
      : parts_(parts), scale_(static_cast<float>(scale)), kernel_(row_kernels()), batch_(shape.batch), heads_(shape.heads), tokens_(shape.tokens),
        size_(shape.size), groups_(shape.groups), out_(out), lse_(lse) {}

  void run() {
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
    std::int64_t most = 0, keys = 0;
    for (const Block& block : blocks) most = std::max(most, block.rows);
    for (const RowPart& part : parts_) keys += part.count;
    // Threads only where there is something for each: of a token with few keys a fork and a join would be most of the time.
    const std::int64_t work = 2 * keys * size_ * heads_ * tokens_ * batch_, all = static_cast<std::int64_t>(blocks.size());
    const auto answer_some = [&](std::int64_t begin, std::int64_t end) {
      Scratch scratch(most, size_);
      const SequentialProducts sequential;
      for (std::int64_t i = begin; i < end; ++i) answer(blocks[static_cast<std::size_t>(i)], scratch);
    };
    if (work < kLeast) answer_some(0, all);
    else at::parallel_for(0, all, 1, answer_some);
  }

 private:
  void answer(const Block& block, Scratch& s) {
    std::fill_n(s.sums.get(), block.rows * size_, 0.0f);
    std::fill_n(s.highest, block.rows, -std::numeric_limits<float>::infinity());
    std::fill_n(s.totals, block.rows, 0.0f);
    for (const RowPart& part : parts_) {
      // Under the causal rule no row sees beyond the last one's token.
      const std::int64_t seen = part.sight->visible == Visible::kCausal && tokens_ > 1 ? std::min(part.count, block.token + block.rows) : part.count;
      for (std::int64_t key = 0; key < seen; key += kKeys) {
        const std::int64_t count = std::min(kKeys, seen - key);
        if (sees_any(*part.sight, block.token, tokens_ == 1 ? 1 : block.rows, key, count)) add_keys(part, block, key, count, s);
      }
    }
    for (std::int64_t row = 0; row < block.rows; ++row) {
      const std::int64_t token = token_of(block, row), head = head_of(block, row);
      float* to = out_ + ((block.batch * tokens_ + token) * heads_ + head) * size_;
      std::copy_n(s.sums.get() + row * size_, size_, to);
      kernel_.scale(to, size_, 1.0f / s.totals[row]);
      if (lse_) lse_[(block.batch * heads_ + head) * tokens_ + token] = s.highest[row] + std::log(s.totals[row]);
    }
  }

  // Adds `count` keys from `key` on to the running softmax of the block's rows.
  void add_keys(const RowPart& part, const Block& block, std::int64_t key, std::int64_t count, Scratch& s) {
    const RowPart::Rows& q = part.queries;
    const float* queries = static_cast<const float*>(q.data) + block.batch * q.batch + block.head * q.head + block.token * q.row;
    const auto [keys, key_stride] = wide_rows(part.keys, block, key, count, s.wide_keys);
    const auto [values, value_stride] = wide_rows(part.values, block, key, count, s.wide_values);
    float* scores = s.scores.get();
    const Factor asking{queries, leading(tokens_ == 1 ? q.head : q.row)};
    const bool by_row = block.rows <= kFewRows && key_stride == size_ && value_stride == size_;
    if (by_row) {
      for (std::int64_t row = 0; row < block.rows; ++row) {
        kernel_.matvec_f32(keys, queries + row * asking.stride, scores + row * kKeys, count, size_);
        kernel_.scale(scores + row * kKeys, count, scale_);
      }
    } else {
      multiply(block.rows, count, size_, scale_, asking, {keys, leading(key_stride), true}, 0, scores, kKeys);
    }
    for (std::int64_t row = 0; row < block.rows; ++row) {
      float* line = scores + row * kKeys;
      hide_keys(*part.sight, token_of(block, row), key, count, line);
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
    if (!by_row) return multiply(block.rows, size_, count, 1, {scores, kKeys}, {values, leading(value_stride)}, 1, s.sums.get(), size_);
    for (std::int64_t row = 0; row < block.rows; ++row) kernel_.add_weighted(values, scores + row * kKeys, s.sums.get() + row * size_, count, size_);
  }

  // Rows [key, key + count) of the block's matrix in f32 and their stride: as they lie, or of bf16 ones a copy in `wide`.
  std::pair<const float*, std::int64_t> wide_rows(const RowPart::Rows& rows, const Block& block, std::int64_t key, std::int64_t count, std::unique_ptr<float[]>& wide) const {
    const std::int64_t from = block.batch * rows.batch + block.group * rows.head + key * rows.row;
    if (!rows.is_bf16) return {static_cast<const float*>(rows.data) + from, rows.row};
    if (!wide) wide = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(kKeys * size_));
    const auto* narrow = static_cast<const std::uint16_t*>(rows.data) + from;
    if (rows.row == size_) kernel_.widen_bf16(narrow, wide.get(), count * size_);
    else
      for (std::int64_t row = 0; row < count; ++row) kernel_.widen_bf16(narrow + row * rows.row, wide.get() + row * size_, size_);
    return {wide.get(), size_};
  }

  std::int64_t token_of(const Block& block, std::int64_t row) const { return tokens_ == 1 ? 0 : block.token + row; }
  std::int64_t head_of(const Block& block, std::int64_t row) const { return tokens_ == 1 ? block.head + row : block.head; }
  // BLAS demands a leading dimension of at least a row's length, also of a matrix of one row, whose stride may be anything.
  std::int64_t leading(std::int64_t stride) const { return std::max(stride, size_); }

  std::span<const RowPart> parts_;
  float scale_;
  const RowKernels& kernel_;
  std::int64_t batch_, heads_, tokens_, size_, groups_;
  float* out_;  // [B, T, H, d]
  float* lse_;  // [B, H, T], where wanted
};

RowPart::Rows rows_of(const at::Tensor& x) { return {x.const_data_ptr(), x.stride(0), x.stride(1), x.stride(2), x.scalar_type() == at::kBFloat16}; }

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
  std::vector<AttentionPart> ready = ready_parts(parts);
  const auto dtype = ready.front().queries.scalar_type();
  for (AttentionPart& part : ready) part.queries = part.queries.to(at::kFloat);
  const at::Tensor& q = ready.front().queries;
  const AttentionShape shape{q.size(0), q.size(1), ready.front().keys.size(1), q.size(2), q.size(3)};
  std::vector<RowPart> rows;
  for (const AttentionPart& part : ready) rows.push_back({rows_of(part.queries), rows_of(part.keys), rows_of(part.values), part.keys.size(2), &part});
  const at::Tensor out = at::empty({shape.batch, shape.tokens, shape.heads, shape.size}, q.options());
  if (lse) *lse = at::empty({shape.batch, shape.heads, shape.tokens}, q.options());
  attention_blocks(rows, shape, scale, out.mutable_data_ptr<float>(), lse ? lse->mutable_data_ptr<float>() : nullptr);
  return out.to(dtype).transpose(1, 2);
}

void attention_blocks(std::span<const RowPart> parts, const AttentionShape& shape, double scale, float* out, float* lse) {
  Attention(parts, shape, scale, out, lse).run();
}

}  // namespace uio::kernels
