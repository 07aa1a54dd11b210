// The local part of a softmax that it shares with keys that were found elsewhere. Compositions; any device, any float dtype.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "kernels/attention.h"

namespace uio::kernels {

// q·k of queries [B, H, T, d] with keys [B, G, S, d]: [B, H, T, S], in the dtype of the queries.
at::Tensor scores_of(const at::Tensor& queries, const at::Tensor& keys);

// How many of `total` queries go at once, so that the scores of parts and of `found` keys, for `rows` heads of the batch, take at most 64 MB.
std::int64_t local_queries_at_once(std::span<const AttentionPart> parts, std::int64_t rows, std::int64_t found, std::int64_t total);

struct LocalShares {
  at::Tensor far;  // weights of the found keys, [B, H, T, κ]
  at::Tensor sum;  // Σ weights · values of the parts, [B, H, T, d]; undefined without parts
};
// Of queries [begin, begin + count) of each part: one softmax of scale times the scores that were found, [B, H, T, κ], and those of the parts.
LocalShares local_shares(std::span<const AttentionPart> parts, std::int64_t begin, std::int64_t count, const at::Tensor& found, double scale);

}  // namespace uio::kernels
