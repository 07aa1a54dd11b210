// The f32 CPU implementation of attention: see attention.h for the contract.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/attention.h"

namespace uio::kernels {

// All tensors f32 on the CPU, or all bf16, whose scores and weights are f32 too. Results do not depend on the number of threads or on the batch. `lse`, where not
// null, becomes [B, H, T] f32: log Σ exp of each query's scores over all parts.
at::Tensor attention_blocks(std::span<const AttentionPart> parts, double scale, at::Tensor* lse = nullptr);

// What attention_blocks reads of a part, by address: tensors cost more to ask than one token's attention does to compute.
struct RowPart {
  struct Rows {
    const void* data;
    std::int64_t batch, head, row;  // strides; a row's numbers lie side by side
    bool is_bf16 = false;           // f32 otherwise
  };
  Rows queries, keys, values;  // of `heads`, `groups` and `groups` matrices; queries f32
  std::int64_t count;          // keys
  const AttentionPart* sight;  // who sees what
};
struct AttentionShape {
  std::int64_t batch, heads, groups, tokens, size;
};
// The same with out [B, T, H, d] and, where not null, lse [B, H, T].
void attention_blocks(std::span<const RowPart> parts, const AttentionShape& shape, double scale, float* out, float* lse);

// The parts as blocks are computed of them: unit stride in d, and in the keys of masks.
std::vector<AttentionPart> ready_parts(std::span<const AttentionPart> parts);

// Scores [count] of a token with the keys from `key` on: those of keys that it does not see become -inf.
void hide_keys(const AttentionPart& part, std::int64_t token, std::int64_t key, std::int64_t count, float* scores);
// False if no token of [token, token + tokens) sees any of the keys [key, key + count).
bool sees_any(const AttentionPart& part, std::int64_t token, std::int64_t tokens, std::int64_t key, std::int64_t count);

}  // namespace uio::kernels
