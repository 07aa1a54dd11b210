#include "memory/context.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "kernels/attention.h"
#include "kernels/token_attention.h"
#include "memory/local_parts.h"

namespace uio {

void check_capacity(const Model& model, std::int64_t needed, const std::string& what) {
  const std::int64_t capacity = model.config().capacity();
  if (needed > capacity)
    throw Error(ErrorKind::kMismatch, "context longer than the model's positions", what,
                "it needs " + std::to_string(needed) + " positions, the model has " + std::to_string(capacity));
}

DecoderContext::DecoderContext(const Model& model, std::int64_t positions, std::int64_t batch)
    : TokenContext(model),
      positions_((check_capacity(model, positions, model.directory()), std::max<std::int64_t>(positions, 1))),
      batch_(batch),
      rope_(model.config(), positions_, model.placement().computed, model.placement().device),
      layers_(static_cast<std::size_t>(model.config().layers)) {}

void DecoderContext::make_room(std::int64_t count) {
  if (length_ + count > positions_)
    throw Error(ErrorKind::kInternal, "more positions used than asked for", "",
                std::to_string(length_ + count) + " of " + std::to_string(positions_));
  reserve(length_ + count);
}

void DecoderContext::reserve(std::int64_t length) {
  if (length <= room_) return;
  room_ = std::min(positions_, std::max(length, 2 * room_));
  const ModelConfig& c = model_.config();
  const auto options = at::TensorOptions().dtype(model_.placement().computed).device(model_.placement().device);
  for (Cache& cache : layers_) {
    const Cache old = cache;
    cache.keys = at::empty({batch_, c.kv_heads, room_, c.head_size}, options);
    cache.values = at::empty({batch_, c.kv_heads, room_, c.head_size}, options);
    if (length_ > 0) {
      cache.keys.narrow(2, 0, length_).copy_(old.keys.narrow(2, 0, length_));
      cache.values.narrow(2, 0, length_).copy_(old.values.narrow(2, 0, length_));
    }
  }
}

void DecoderContext::add_memory(const at::Tensor& keys, const at::Tensor& values) {
  const std::int64_t count = keys.size(3);
  make_room(count);
  const auto computed = model_.placement().computed;
  const auto device = model_.placement().device;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const at::Tensor layer_keys = keys.select(1, static_cast<std::int64_t>(l)).to(device, computed);
    layers_[l].keys.narrow(2, length_, count).copy_(rope_.rotate(layer_keys, length_));
    layers_[l].values.narrow(2, length_, count).copy_(values.select(1, static_cast<std::int64_t>(l)));
  }
  length_ += count;
}

at::Tensor TokenContext::add_tokens(const at::Tensor& ids) {
  make_room(ids.size(1));
  at::Tensor x = model_.embed(ids);
  const Attend attend_here = [this](std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    return attend(layer, q, k, v);
  };
  TokenContext* const self = this;
  if (ids.size(1) == 1) x = pass_token_each({&self, 1}, x, attend_here);
  else x = model_.layers(x, attend_here);
  advance(ids.size(1));
  return x;
}

at::Tensor TokenContext::add_token_each(std::span<TokenContext* const> contexts, const at::Tensor& ids) {
  for (TokenContext* context : contexts) context->make_room(1);
  const Model& model = contexts.front()->model_;
  const Attend attend_each = [&](std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    std::vector<at::Tensor> rows;
    for (std::size_t i = 0; i < contexts.size(); ++i) {
      const auto row = [&](const at::Tensor& all) { return all.narrow(0, static_cast<std::int64_t>(i), 1); };
      rows.push_back(contexts[i]->attend(layer, row(q), row(k), row(v)));
    }
    return at::cat(rows);
  };
  const at::Tensor x = pass_token_each(contexts, model.embed(ids), attend_each);
  for (TokenContext* context : contexts) context->advance(1);
  return x;
}

at::Tensor TokenContext::pass_token_each(std::span<TokenContext* const> contexts, at::Tensor x, const Attend& attend) {
  const Model& model = contexts.front()->model_;
  std::vector<kernels::TokenCache> caches;
  bool is_plain = x.device().is_cpu();
  for (std::int64_t l = 0; l < model.config().layers && is_plain; ++l)
    for (const TokenContext* context : contexts) is_plain = is_plain && context->find_caches(l, caches);
  if (is_plain)
    if (at::Tensor passed = model.pass_tokens(x, caches); passed.defined()) return passed;
  return model.layers(std::move(x), attend);
}

bool TokenContext::find_caches(std::int64_t, std::vector<kernels::TokenCache>&) const { return false; }

bool DecoderContext::find_caches(std::int64_t layer, std::vector<kernels::TokenCache>& caches) const {
  const Cache& cache = layers_[static_cast<std::size_t>(layer)];
  const auto dtype = model_.placement().computed;
  if (mass_ || (dtype != at::kFloat && dtype != at::kBFloat16)) return false;
  const std::int64_t oldest = oldest_seen(length_, model_.config().sliding[static_cast<std::size_t>(layer)]);
  for (std::int64_t row = 0; row < batch_; ++row) caches.push_back(kernels::token_cache(cache.keys, cache.values, row, oldest, length_, rope_.angles(length_)));
  return true;
}

at::Tensor DecoderContext::attend(std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  Cache& cache = layers_[static_cast<std::size_t>(layer)];
  const std::int64_t count = q.size(1), window = model_.config().sliding[static_cast<std::size_t>(layer)];
  const double scale = model_.config().score_scale();
  if (!mass_ && kernels::fits_token(q, k, v, cache.keys))
    return kernels::attend_token(q, k, v, rope_.angles(length_), cache.keys, cache.values, oldest_seen(length_, window), length_, scale);
  const at::Tensor queries = rope_.rotate(q.transpose(1, 2), length_);
  cache.keys.narrow(2, length_, count).copy_(rope_.rotate(k.transpose(1, 2), length_));
  cache.values.narrow(2, length_, count).copy_(v.transpose(1, 2));
  if (mass_ && window == 0) mass_->add(queries, cache.keys, length_, scale);
  return kernels::attention(local_parts(queries, cache.keys, cache.values, length_, window), scale).transpose(1, 2).flatten(2);
}

void DecoderContext::truncate(std::int64_t position) { length_ = std::min(length_, position); }

std::int64_t DecoderContext::bytes() const {
  const ModelConfig& c = model_.config();
  return 2 * batch_ * c.layers * c.kv_heads * c.head_size * length_ * static_cast<std::int64_t>(c10::elementSize(model_.placement().computed));
}

}  // namespace uio
