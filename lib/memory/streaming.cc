#include "memory/streaming.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "kernels/attention.h"

namespace uio {

using kernels::AttentionPart;
using kernels::Visible;

StreamingContext::StreamingContext(const Model& model, std::int64_t sinks, std::int64_t window)
    : model_(model),
      sinks_(sinks),
      window_(window),
      rope_(model.config(), sinks + window + kMostTokens, model.placement().computed, model.placement().device),
      layers_(static_cast<std::size_t>(model.config().layers)) {}

at::Tensor StreamingContext::add_tokens(const at::Tensor& ids) {
  at::Tensor x = model_.embed(ids);
  const Attend attend_here = [this](std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    return attend(layer, q, k, v);
  };
  x = model_.layers(std::move(x), attend_here);
  length_ += ids.size(1);
  return x;
}

at::Tensor StreamingContext::attend(std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  Cache& cache = layers_[static_cast<std::size_t>(layer)];
  const std::int64_t count = q.size(1), sliding = model_.config().sliding[static_cast<std::size_t>(layer)];
  const double scale = model_.config().score_scale();
  const at::Tensor queries = q.transpose(1, 2), keys = k.transpose(1, 2), values = v.transpose(1, 2);

  // Sinks stay where they are: the first tokens, rotated once.
  if (const std::int64_t fresh = std::clamp<std::int64_t>(sinks_ - length_, 0, count); fresh > 0) {
    const at::Tensor rotated = rope_.rotate(keys.narrow(2, 0, fresh), length_), more = values.narrow(2, 0, fresh);
    cache.sink_keys = cache.sink_keys.defined() ? at::cat({cache.sink_keys, rotated}, 2) : rotated;
    cache.sink_values = cache.sink_values.defined() ? at::cat({cache.sink_values, more}, 2) : more;
  }
  cache.keys = cache.keys.defined() ? at::cat({cache.keys, keys}, 2) : keys;
  cache.values = cache.values.defined() ? at::cat({cache.values, values}, 2) : values;
  const std::int64_t held = cache.keys.size(2), first = length_ + count - held;  // index of the oldest key held

  const auto options = at::TensorOptions().dtype(at::kLong).device(queries.device());
  const at::Tensor at_query = at::arange(length_, length_ + count, options).unsqueeze(1);
  const at::Tensor at_key = at::arange(first, length_ + count, options).unsqueeze(0);
  const at::Tensor back = at_query - at_key;
  at::Tensor sees = back.ge(0).logical_and(back.lt(sliding > 0 ? std::min(sliding, window_) : window_)).logical_and(at_key.ge(sinks_));
  std::vector<AttentionPart> parts;
  // Distances within the window are the true ones, so positions may be counted from the oldest key held.
  parts.push_back({rope_.rotate(queries, held - count), rope_.rotate(cache.keys, 0), cache.values, Visible::kMask, sees});
  if (cache.sink_keys.defined()) {
    // Seen from beyond the window, a sink is as far away as the cache is long.
    const at::Tensor position = at_query.squeeze(1).clamp_max(sinks_ + window_ - 1);
    const at::Tensor sink = at::arange(cache.sink_keys.size(2), options).unsqueeze(0);
    at::Tensor sees_sink = sink.le(at_query);
    if (sliding > 0) sees_sink = sees_sink.logical_and((position.unsqueeze(1) - sink).lt(sliding));
    parts.push_back({rope_.rotate(queries, position), cache.sink_keys, cache.sink_values, Visible::kMask, sees_sink});
  }
  const at::Tensor out = kernels::attention(parts, scale).transpose(1, 2).flatten(2);
  if (held > window_) {
    cache.keys = cache.keys.narrow(2, held - window_, window_).clone();
    cache.values = cache.values.narrow(2, held - window_, window_).clone();
  }
  return out;
}

}  // namespace uio
