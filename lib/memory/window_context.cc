#include "memory/window_context.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "kernels/attention.h"
#include "memory/first_position.h"
#include "memory/local_parts.h"
#include "memory/walk.h"
#include "model/tensor.h"

namespace uio {
namespace {

// The factor on keys that rotation to the first position has.
double key_scale(const Model& model, bool has_positions) {
  return has_positions ? rope_frequencies(model.config().rope, model.config().head_size, model.config().capacity(), 1).scale : 1;
}

}  // namespace

WindowContext::WindowContext(const Model& model, const WindowSettings& settings, std::int64_t length, std::int64_t batch)
    : TokenContext(model),
      settings_(settings),
      capacity_(length),
      batch_(batch),
      rope_(model.config(), length, model.placement().computed, model.placement().device),
      memory_(settings.search, settings.memory.layers.size(), settings.memory.dtype, key_scale(model, settings.memory.has_positions)),
      layers_(static_cast<std::size_t>(model.config().layers)) {
  std::size_t number = 0;
  for (const std::int64_t layer : settings_.memory.layers) {
    layers_[static_cast<std::size_t>(layer)].has_memory = true;
    layers_[static_cast<std::size_t>(layer)].number = number++;
  }
}

void WindowContext::add_memory(const at::Tensor& keys, const at::Tensor& values) {
  const std::int64_t count = keys.size(3);
  const auto computed = model_.placement().computed;
  const auto device = model_.placement().device;
  for (std::size_t number = 0; number < settings_.memory.layers.size(); ++number) {
    const at::Tensor raw = keys.select(1, static_cast<std::int64_t>(number)).to(device, computed);
    memory_.append(number, settings_.memory.has_positions ? rotate_to_first(rope_, raw) : raw, values.select(1, static_cast<std::int64_t>(number)));
  }
  memory_.grow(count);
}

void WindowContext::make_room(std::int64_t count) {
  if (length_ + count > capacity_)
    throw Error(ErrorKind::kInternal, "local window too long", "", std::to_string(length_ + count) + " of " + std::to_string(capacity_));
}

// Appends to the local window; [B, G, T, d], un-rotated.
void WindowContext::keep(Layer& layer, const at::Tensor& keys, const at::Tensor& values) {
  const std::int64_t count = keys.size(2);
  if (layer.has_memory && is_rotated(layer)) {
    layer.raw_keys = with_room(layer.raw_keys, length_ + count, length_, keys, capacity_);
    layer.raw_keys.narrow(2, length_, count).copy_(keys);
  }
  layer.local.append(is_rotated(layer) ? rope_.rotate(keys, length_) : keys, values, length_, capacity_);
}

at::Tensor WindowContext::attend(std::int64_t number, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  Layer& layer = layers_[static_cast<std::size_t>(number)];
  keep(layer, k.transpose(1, 2), v.transpose(1, 2));
  const double scale = model_.config().score_scale();
  const at::Tensor raw = q.transpose(1, 2), queries = is_rotated(layer) ? rope_.rotate(raw, length_) : raw.contiguous();
  std::vector<kernels::AttentionPart> parts =
      local_parts(queries, layer.local.keys, layer.local.values, length_, model_.config().sliding[static_cast<std::size_t>(number)]);
  const at::Tensor out = layer.has_memory && memory_.length() > 0 ? memory_.attend(layer.number, queries, std::move(parts), scale) : kernels::attention(parts, scale);
  return out.transpose(1, 2).flatten(2);
}

void WindowContext::read(const at::Tensor& ids) {
  for (std::int64_t at = 0; at < ids.size(1); at += kTokensAtOnce) read_piece(ids.narrow(1, at, std::min(kTokensAtOnce, ids.size(1) - at)));
}

void WindowContext::read_piece(const at::Tensor& ids) {
  make_room(ids.size(1));
  const std::int64_t last = settings_.memory.layers.back();
  const Attend attend_here = [this](std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) { return attend(layer, q, k, v); };
  at::Tensor x = model_.embed(ids);
  for (std::int64_t l = 0; l < last; ++l) x = model_.layer(l, x, attend_here);
  const at::Tensor input = model_.attention_input(last, x);
  keep(layers_[static_cast<std::size_t>(last)], model_.heads(last, Projection::kKey, input).transpose(1, 2),
       model_.heads(last, Projection::kValue, input).transpose(1, 2));
  advance(ids.size(1));
}

KeysValues WindowContext::window() const {
  const auto dtype = scalar_type_of(settings_.memory.dtype);
  std::vector<at::Tensor> keys, values;
  for (const Layer& layer : layers_) {
    if (!layer.has_memory) continue;
    keys.push_back((is_rotated(layer) ? layer.raw_keys : layer.local.keys).narrow(2, 0, length_).to(dtype));
    values.push_back(layer.local.values.narrow(2, 0, length_).to(dtype));
  }
  return {at::stack(keys, 1), at::stack(values, 1)};
}

}  // namespace uio
