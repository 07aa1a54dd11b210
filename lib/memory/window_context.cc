#include "memory/window_context.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "kernels/attention.h"
#include "kernels/nearest.h"
#include "memory/local_parts.h"
#include "model/tensor.h"

namespace uio {
namespace {

constexpr std::int64_t kRoom = 256;  // of a buffer that begins: most windows fill it

// A tensor like `old` with room for `room` rows, the first `used` of them as they were.
at::Tensor grown(const at::Tensor& old, std::int64_t room, std::int64_t used, const at::Tensor& like) {
  at::Tensor grown = at::empty({like.size(0), like.size(1), room, like.size(3)}, like.options());
  if (used > 0) grown.narrow(2, 0, used).copy_(old.narrow(2, 0, used));
  return grown;
}

std::int64_t room_of(const at::Tensor& buffer) { return buffer.defined() ? buffer.size(2) : 0; }

// How much room a buffer gets that must hold `length` rows, `most` of them ever.
std::int64_t next_room(const at::Tensor& buffer, std::int64_t length, std::int64_t most) {
  return std::min(most, std::max({length, 2 * room_of(buffer), kRoom}));
}

}  // namespace

WindowContext::WindowContext(const Model& model, const WindowSettings& settings, std::int64_t length, std::int64_t batch)
    : TokenContext(model),
      settings_(settings),
      capacity_(length),
      batch_(batch),
      rope_(model.config(), length, model.placement().computed, model.placement().device),
      layers_(static_cast<std::size_t>(model.config().layers)) {
  for (const std::int64_t layer : settings_.memory.layers) layers_[static_cast<std::size_t>(layer)].has_memory = true;
}

void WindowContext::Buffer::reserve(std::int64_t length, std::int64_t used, std::int64_t most, const at::Tensor& like) {
  if (length <= room_of(keys)) return;
  const std::int64_t room = next_room(keys, length, most);
  keys = grown(keys, room, used, like);
  values = grown(values, room, used, like);
}

void WindowContext::add_memory(const at::Tensor& keys, const at::Tensor& values) {
  const std::int64_t count = keys.size(3);
  const auto computed = model_.placement().computed;
  const auto device = model_.placement().device;
  const at::Tensor first = at::zeros({count}, at::TensorOptions().dtype(at::kLong).device(device));  // every position is the first
  std::int64_t number = 0;
  for (Layer& layer : layers_) {
    if (!layer.has_memory) continue;
    const at::Tensor raw = keys.select(1, number).to(device, computed);
    const at::Tensor attended = settings_.memory.has_positions ? rope_.rotate(raw, first) : raw;
    layer.memory.reserve(memory_length_ + count, memory_length_, std::numeric_limits<std::int64_t>::max(), raw);
    layer.memory.keys.narrow(2, memory_length_, count).copy_(attended);
    layer.memory.values.narrow(2, memory_length_, count).copy_(values.select(1, number));
    ++number;
  }
  memory_length_ += count;
}

void WindowContext::make_room(std::int64_t count) {
  if (length_ + count > capacity_)
    throw Error(ErrorKind::kInternal, "local window too long", "", std::to_string(length_ + count) + " of " + std::to_string(capacity_));
}

// Appends to the local window; [B, G, T, d], un-rotated.
void WindowContext::keep(Layer& layer, const at::Tensor& keys, const at::Tensor& values) {
  const std::int64_t count = keys.size(2);
  if (layer.has_memory && is_rotated(layer)) {
    if (length_ + count > room_of(layer.raw_keys))
      layer.raw_keys = grown(layer.raw_keys, next_room(layer.raw_keys, length_ + count, capacity_), length_, keys);
    layer.raw_keys.narrow(2, length_, count).copy_(keys);
  }
  layer.local.reserve(length_ + count, length_, capacity_, keys);
  layer.local.keys.narrow(2, length_, count).copy_(is_rotated(layer) ? rope_.rotate(keys, length_) : keys);
  layer.local.values.narrow(2, length_, count).copy_(values);
}

at::Tensor WindowContext::attend(std::int64_t number, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  Layer& layer = layers_[static_cast<std::size_t>(number)];
  keep(layer, k.transpose(1, 2), v.transpose(1, 2));
  const double scale = 1.0 / std::sqrt(static_cast<double>(model_.config().head_size));
  const at::Tensor raw = q.transpose(1, 2), queries = is_rotated(layer) ? rope_.rotate(raw, length_) : raw.contiguous();
  std::vector<kernels::AttentionPart> parts =
      local_parts(queries, layer.local.keys, layer.local.values, length_, model_.config().sliding[static_cast<std::size_t>(number)]);
  at::Tensor out;
  if (layer.has_memory && memory_length_ > 0) {
    const kernels::AttentionPart memory{queries, layer.memory.keys.narrow(2, 0, memory_length_), layer.memory.values.narrow(2, 0, memory_length_),
                                        kernels::Visible::kAll, {}};
    if (settings_.nearest > 0) out = kernels::attention_nearest(parts, memory, settings_.nearest, scale);
    else parts.push_back(memory);
  }
  if (!out.defined()) out = kernels::attention(parts, scale);
  return out.transpose(1, 2).flatten(2);
}

void WindowContext::read(const at::Tensor& ids) {
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
