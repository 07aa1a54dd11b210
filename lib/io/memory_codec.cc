#include "io/memory_codec.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "base/quote.h"
#include "io/damage.h"
#include "io/limits.h"
#include "io/planes.h"
#include "io/quantise.h"
#include "io/segment_codec.h"

namespace uio {
namespace {

constexpr std::uint32_t kMemoryFields = kSpanFields + 15;
constexpr std::uint32_t kErrorFields = 2;  // more, a tensor of a quantised memory

// Layers are packed in groups of about this many items: planes that stay in the cache, and enough for zstd to learn from.
constexpr std::uint64_t kGroupItems = 1 << 18;

// The known value with the given name.
template <typename Enum, std::size_t N>
Enum named(const char* field, const std::string& name, const Enum (&known)[N]) {
  std::string names;
  for (const Enum value : known) {
    if (name == name_of(value)) return value;
    names += (names.empty() ? "" : ", ") + std::string(name_of(value));
  }
  throw Damage{ErrorKind::kMismatch, std::string("has ") + field + " " + quote(name) + ", this version knows " + names};
}

std::uint64_t tensor_bytes(const Memory& memory) {
  // The sizes are below 2^16 each: the product of three cannot overflow, that of four and the item is compared first.
  const std::uint64_t layer =
      std::uint64_t{memory.kv_heads} * memory.head_size * memory.memory_length * item_bytes(memory.dtype);
  return layer > kMostMemoryBytes ? layer : layer * memory.layers;
}

std::uint64_t token_bytes(const Memory& memory) { return memory.has_tokens ? sizeof(std::int32_t) * std::uint64_t{memory.token_count} : 0; }

PlaneShape layers_shape(const Memory& memory, std::size_t layers) {
  return {memory.dtype, layers * memory.kv_heads, memory.memory_length, memory.head_size};
}

std::size_t group_layers(const Memory& memory) {
  return std::clamp<std::size_t>(kGroupItems / layers_shape(memory, 1).items(), 1, memory.layers);
}

QuantisedShape quantised(const Memory& memory, const PlaneShape& shape, bool is_keys) {
  return {shape.dtype, memory.precision, is_keys ? Along::kChannel : Along::kToken, shape.matrices, shape.rows, shape.columns};
}

// How many bytes of each frame of a group are before zstd, in order.
std::vector<std::size_t> frames_of(const Memory& memory, Layout layout, const PlaneShape& shape, bool is_keys) {
  if (layout == Layout::kRows) return {shape.bytes()};
  if (memory.precision == Precision::kExact) return std::vector<std::size_t>(item_bytes(shape.dtype), shape.items());
  return quantised(memory, shape, is_keys).parts();
}

std::size_t sum(const std::vector<std::size_t>& sizes) { return std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}); }

void require_fit(const Memory& memory, std::span<const std::byte> tensor, const char* what) {
  const auto unfit = first_unfit(memory.dtype, tensor);
  if (!unfit) return;
  std::size_t index = *unfit;
  const auto take = [&](std::size_t size) { return std::to_string(std::exchange(index, index / size) % size); };
  const std::string channel = take(memory.head_size), token = take(memory.memory_length), head = take(memory.kv_heads);
  throw Damage{ErrorKind::kData, std::string("has a ") + what + " that is not finite, or too large (layer " + std::to_string(index) +
                                     ", head " + head + ", memory token " + token + ", channel " + channel + "): precision " +
                                     name_of(memory.precision) + " cannot keep it"};
}

// Calls `visit` with the shape and the byte offset of each group of layers of one tensor.
template <typename Visit>
void for_each_group(const Memory& memory, const Visit& visit) {
  const std::size_t step = group_layers(memory), layer_bytes = layers_shape(memory, 1).bytes();
  for (std::size_t layer = 0; layer < memory.layers; layer += step) {
    visit(layers_shape(memory, std::min(step, memory.layers - layer)), layer * layer_bytes);
  }
}

// What was stated, and what came to it.
StatedError plus(const StatedError& stated, const ChangeTally& change) {
  const StatedError more = change.relative();
  return {std::min(1.0, stated.largest + more.largest), std::min(1.0, stated.rms + more.rms)};
}

std::vector<std::byte> map_of(const Memory& memory, Layout layout, const StatedError& key_error, const StatedError& value_error) {
  const bool is_quantised = memory.precision != Precision::kExact, is_rows = layout == Layout::kRows;
  HeaderMapWriter map(kMemoryFields + memory.has_tokens + is_rows + is_quantised * kErrorFields * (memory.form == Form::kKv ? 2 : 1));
  add_span(map, memory.span);
  map.add_fingerprint("base", memory.base);
  map.add_fingerprint("tokenizer", memory.tokenizer);
  map.add_fingerprint("adapter", memory.adapter);
  map.add_fingerprint("token_hash", memory.token_hash);
  map.add_word("method", memory.method);
  map.add_word("positions", memory.positions);
  map.add_word("form", name_of(memory.form));
  map.add_word("precision", name_of(memory.precision));
  map.add_word("dtype", name_of(memory.dtype));
  if (is_rows) map.add_word("layout", name_of(layout));  // its absence is planes
  map.add_natural("layers", memory.layers);
  map.add_natural("kv_heads", memory.kv_heads);
  map.add_natural("head_size", memory.head_size);
  map.add_natural("memory_length", memory.memory_length);
  map.add_natural("segment_length", memory.segment_length);
  map.add_natural("token_count", memory.token_count);
  if (memory.has_tokens) map.add_boolean("has_tokens", true);
  if (is_quantised) {
    map.add_real("key_error", key_error.largest);
    map.add_real("key_rms_error", key_error.rms);
  }
  if (is_quantised && memory.form == Form::kKv) {
    map.add_real("value_error", value_error.largest);
    map.add_real("value_rms_error", value_error.rms);
  }
  return map.take();
}

// Quantises the items from number `first` of a tensor on, by what was found for them where that is known.
void quantise_part(const Memory& memory, const QuantisedShape& shape, std::size_t first, bool is_keys, std::span<const std::byte> items, std::span<std::byte> parts,
                   ChangeTally& tally) {
  const RoundedTensor& found = is_keys ? memory.rounded_keys : memory.rounded_values;
  if (found.precision != memory.precision) return quantise(shape, items, parts, tally);
  const std::size_t matrix = shape.rows * shape.columns, first_scale = first / matrix * (shape.scales() / shape.matrices);
  if (found.numbers.size() < first + shape.items() || found.scales.size() < first_scale + shape.scales())
    throw Damage{ErrorKind::kInternal, "was rounded to " + std::to_string(found.numbers.size()) + " numbers, its shape needs more"};
  const Rounded rounded{std::span(found.numbers).subspan(first, shape.items()), std::span(found.scales).subspan(first_scale, shape.scales())};
  quantise(shape, items, parts, tally, &rounded);
}

}  // namespace

std::uint64_t key_bytes(const Memory& memory) { return tensor_bytes(memory); }
std::uint64_t value_bytes(const Memory& memory) { return memory.form == Form::kHidden ? 0 : tensor_bytes(memory); }

std::uint64_t payload_bytes(const Memory& memory) {
  std::uint64_t bytes = token_bytes(memory);
  if (memory.precision == Precision::kExact) return bytes + key_bytes(memory) + value_bytes(memory);
  for (const bool is_keys : {true, false}) {
    if ((is_keys ? key_bytes(memory) : value_bytes(memory)) == 0) continue;
    for_each_group(memory, [&](const PlaneShape& shape, std::size_t) { bytes += quantised(memory, shape, is_keys).bytes(); });
  }
  return bytes;
}

Layout layout_at(const Memory& memory, bool is_stored) {
  return is_stored && memory.precision == Precision::kExact && memory.form == Form::kKv ? Layout::kRows : Layout::kPlanes;
}

std::uint64_t stored_payload_bytes(const Memory& memory, Layout layout) {
  std::uint64_t bytes = 0;
  for (const bool is_keys : {true, false}) {
    if ((is_keys ? key_bytes(memory) : value_bytes(memory)) == 0) continue;
    for_each_group(memory, [&](const PlaneShape& shape, std::size_t) {
      for (const std::size_t size : frames_of(memory, layout, shape, is_keys)) bytes += Compressor::stored_bytes(size);
    });
  }
  if (memory.has_tokens) bytes += Compressor::stored_bytes(token_bytes(memory));
  return bytes;
}

std::optional<std::vector<StoredLayer>> stored_layers(const Memory& memory, std::span<const std::byte> payload) {
  if (memory.layout != Layout::kRows || payload.size() != stored_payload_bytes(memory, Layout::kRows)) return std::nullopt;
  std::vector<StoredLayer> layers(memory.layers);
  const std::uint64_t layer_bytes = layers_shape(memory, 1).bytes();
  std::uint64_t at = 0;
  bool is_stored = true;
  for (const bool is_keys : {true, false}) {
    for_each_group(memory, [&](const PlaneShape& shape, std::size_t offset) {
      const std::uint64_t size = Compressor::stored_bytes(shape.bytes());
      is_stored = is_stored && is_stored_frame(payload.subspan(at, size), shape.bytes());
      for (std::uint64_t within = 0; within < shape.bytes(); within += layer_bytes)
        (is_keys ? layers[(offset + within) / layer_bytes].keys : layers[(offset + within) / layer_bytes].values) = {at, within};
      at += size;
    });
  }
  if (!is_stored) return std::nullopt;
  return layers;
}

std::vector<std::byte> encode_memory_map(const Memory& memory, Layout layout) {
  return map_of(memory, layout, memory.key_error, memory.value_error);
}

Memory decode_memory_map(std::span<const std::byte> bytes) {
  HeaderMapReader map(bytes);
  Memory memory;
  memory.span = read_span(map);
  memory.base = map.fingerprint("base");
  memory.tokenizer = map.fingerprint("tokenizer");
  memory.adapter = map.fingerprint("adapter", true);
  memory.token_hash = map.fingerprint("token_hash");
  memory.method = map.word("method");
  memory.positions = map.word("positions");
  memory.form = named("form", map.word("form"), {Form::kKv, Form::kHidden});
  memory.precision = named("precision", map.word("precision"), {Precision::kExact, Precision::kInt8, Precision::kInt4});
  memory.dtype = named("dtype", map.word("dtype"), {DType::kF32, DType::kBf16, DType::kF16, DType::kF64});
  if (map.has("layout")) {
    memory.layout = named("layout", map.word("layout"), {Layout::kRows});
    if (layout_at(memory, true) != memory.layout)
      throw Damage{ErrorKind::kData, "has rows of precision " + std::string(name_of(memory.precision)) + " and form " + name_of(memory.form) + ", expected exact and kv"};
  }
  const auto size = [&](const char* name, std::uint64_t most) {
    return static_cast<std::uint32_t>(map.natural(name, 1, most));
  };
  memory.layers = size("layers", kLargestSize);
  memory.kv_heads = size("kv_heads", memory.form == Form::kHidden ? 1 : kLargestSize);
  memory.head_size = size("head_size", kLargestSize);
  memory.memory_length = size("memory_length", kLargestSize);
  memory.segment_length = size("segment_length", kMostTokens);
  memory.token_count = size("token_count", kMostTokens);
  if (map.has("has_tokens")) memory.has_tokens = map.boolean("has_tokens");
  const auto error = [&](const char* largest, const char* rms) { return StatedError{map.real(largest, 0, 1), map.real(rms, 0, 1)}; };
  if (memory.precision != Precision::kExact) {
    memory.key_error = error("key_error", "key_rms_error");
    if (memory.form == Form::kKv) memory.value_error = error("value_error", "value_rms_error");
  }
  map.finish();
  if (tensor_bytes(memory) > kMostMemoryBytes || key_bytes(memory) + value_bytes(memory) > kMostMemoryBytes ||
      payload_bytes(memory) > kMostMemoryBytes) {
    throw Damage{ErrorKind::kData, "has a shape [" + std::to_string(memory.layers) + ", " + std::to_string(memory.kv_heads) +
                                       ", " + std::to_string(memory.memory_length) + ", " + std::to_string(memory.head_size) +
                                       "] of " + name_of(memory.dtype) + " that takes more than " +
                                       std::to_string(kMostMemoryBytes) + " bytes"};
  }
  return memory;
}

EncodedMemory encode_memory(const Memory& memory, Compressor& compressor) {
  if (memory.keys.size() != key_bytes(memory) || memory.values.size() != value_bytes(memory)) {
    throw Damage{ErrorKind::kInternal, "has tensors of " + std::to_string(memory.keys.size()) + " and " +
                                           std::to_string(memory.values.size()) + " bytes, its shape needs " +
                                           std::to_string(key_bytes(memory)) + " and " + std::to_string(value_bytes(memory))};
  }
  if (memory.tokens.size() != (memory.has_tokens ? memory.token_count : 0)) {
    throw Damage{ErrorKind::kInternal, "has " + std::to_string(memory.tokens.size()) + " token ids, it was made of " + std::to_string(memory.token_count)};
  }
  EncodedMemory encoded;
  const Layout layout = layout_at(memory, compressor.stores());
  std::vector<std::byte> parts;
  ChangeTally key_change, value_change;
  for (const auto* tensor : {&memory.keys, &memory.values}) {
    if (tensor->empty()) continue;
    const bool is_keys = tensor == &memory.keys;
    if (memory.precision != Precision::kExact) require_fit(memory, *tensor, is_keys ? "key" : "value");
    for_each_group(memory, [&](const PlaneShape& shape, std::size_t offset) {
      const auto items = std::span(*tensor).subspan(offset, shape.bytes());
      if (layout == Layout::kRows) return compressor.append_frame(items, encoded.payload);
      const std::vector<std::size_t> frames = frames_of(memory, layout, shape, is_keys);
      parts.resize(sum(frames));
      if (memory.precision == Precision::kExact) split_planes(shape, items, parts);
      else quantise_part(memory, quantised(memory, shape, is_keys), offset / item_bytes(memory.dtype), is_keys, items, parts, is_keys ? key_change : value_change);
      std::size_t at = 0;
      for (const std::size_t size : frames) {
        compressor.append_frame(std::span(parts).subspan(std::exchange(at, at + size), size), encoded.payload);
      }
    });
  }
  if (memory.has_tokens) compressor.append_frame(std::as_bytes(std::span(memory.tokens)), encoded.payload);
  encoded.map = map_of(memory, layout, plus(memory.key_error, key_change), plus(memory.value_error, value_change));
  return encoded;
}

Memory decode_memory_payload(Memory memory, std::span<const std::byte> payload, Expander& expander) {
  std::vector<std::byte> parts;
  memory.keys.resize(key_bytes(memory));
  memory.values.resize(value_bytes(memory));
  for (auto* tensor : {&memory.keys, &memory.values}) {
    if (tensor->empty()) continue;
    const bool is_keys = tensor == &memory.keys;
    for_each_group(memory, [&](const PlaneShape& shape, std::size_t offset) {
      const auto items = std::span(*tensor).subspan(offset, shape.bytes());
      if (memory.layout == Layout::kRows) return expander.expand_frame(payload, items);
      const std::vector<std::size_t> frames = frames_of(memory, memory.layout, shape, is_keys);
      parts.resize(sum(frames));
      std::size_t at = 0;
      for (const std::size_t size : frames) {
        expander.expand_frame(payload, std::span(parts).subspan(std::exchange(at, at + size), size));
      }
      if (memory.precision == Precision::kExact) join_planes(shape, parts, items);
      else dequantise(quantised(memory, shape, is_keys), parts, items);
    });
  }
  if (memory.has_tokens) {
    memory.tokens.resize(memory.token_count);
    expander.expand_frame(payload, std::as_writable_bytes(std::span(memory.tokens)));
    check_token_ids(memory.tokens);
    if (token_hash(memory.tokens) != memory.token_hash) throw Damage{ErrorKind::kData, "has token ids that are not those it was made of"};
  }
  if (!payload.empty()) throw Damage{ErrorKind::kData, "has " + std::to_string(payload.size()) + " bytes after its payload"};
  return memory;
}

}  // namespace uio
