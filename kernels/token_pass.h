// One token of each of a few streams through all layers of a decoder in one pass of the threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <span>

#include "kernels/few_row_layer.h"
#include "kernels/token_attention.h"

namespace uio::kernels {

// What a layer computes with. Weights of all layers have one dtype and the same sizes.
struct TokenLayer {
  at::Tensor norm;                      // [D] f32, of attention's input
  std::array<RowWeight, 3> projections;  // query [H·d, D], key and value [G·d, D]
  std::array<at::Tensor, 3> biases;      // [out] f32, contiguous, or undefined
  std::array<at::Tensor, 2> head_norms;  // [d] f32 of each query head and of each key head, or undefined
  FeedForward rest;
};

struct TokenPass {
  HeadShape heads;
  double epsilon, scale;    // of norms; of scores
  at::ScalarType computed;  // f32 or bf16, also of the caches
};

// x [R, D] f32, weights as fits_few_rows() takes them; caches: those of the first layer's R rows, then of the next layer's. Returns the residual stream after the
// last layer [R, D] f32. The same bits as norm_linear_each(), rotation, attend_token() and finish_few_rows() of each layer.
at::Tensor pass_tokens(const at::Tensor& x, std::span<const TokenLayer> layers, std::span<const TokenCache> caches, const TokenPass& pass);

}  // namespace uio::kernels
