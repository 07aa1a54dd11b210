#include "io/memory_codec.h"

#include <algorithm>
#include <string>

#include "base/quote.h"
#include "io/damage.h"
#include "io/limits.h"
#include "io/planes.h"
#include "io/segment_codec.h"

namespace uio {
namespace {

constexpr std::uint32_t kMemoryFields = kSpanFields + 15;

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

PlaneShape layers_shape(const Memory& memory, std::size_t layers) {
  return {memory.dtype, layers * memory.kv_heads, memory.memory_length, memory.head_size};
}

std::size_t group_layers(const Memory& memory) {
  return std::clamp<std::size_t>(kGroupItems / layers_shape(memory, 1).items(), 1, memory.layers);
}

// Calls `visit` with the shape and the byte offset of each group of layers of one tensor.
template <typename Visit>
void for_each_group(const Memory& memory, const Visit& visit) {
  const std::size_t step = group_layers(memory), layer_bytes = layers_shape(memory, 1).bytes();
  for (std::size_t layer = 0; layer < memory.layers; layer += step) {
    visit(layers_shape(memory, std::min(step, memory.layers - layer)), layer * layer_bytes);
  }
}

}  // namespace

std::uint64_t key_bytes(const Memory& memory) { return tensor_bytes(memory); }
std::uint64_t value_bytes(const Memory& memory) { return memory.form == Form::kHidden ? 0 : tensor_bytes(memory); }

std::vector<std::byte> encode_memory_map(const Memory& memory) {
  HeaderMapWriter map(kMemoryFields);
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
  map.add_natural("layers", memory.layers);
  map.add_natural("kv_heads", memory.kv_heads);
  map.add_natural("head_size", memory.head_size);
  map.add_natural("memory_length", memory.memory_length);
  map.add_natural("segment_length", memory.segment_length);
  map.add_natural("token_count", memory.token_count);
  return map.take();
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
  memory.precision = named("precision", map.word("precision"), {Precision::kExact});
  memory.dtype = named("dtype", map.word("dtype"), {DType::kF32, DType::kBf16, DType::kF16, DType::kF64});
  const auto size = [&](const char* name, std::uint64_t most) {
    return static_cast<std::uint32_t>(map.natural(name, 1, most));
  };
  memory.layers = size("layers", kLargestSize);
  memory.kv_heads = size("kv_heads", memory.form == Form::kHidden ? 1 : kLargestSize);
  memory.head_size = size("head_size", kLargestSize);
  memory.memory_length = size("memory_length", kLargestSize);
  memory.segment_length = size("segment_length", kMostTokens);
  memory.token_count = size("token_count", kMostTokens);
  map.finish();
  if (tensor_bytes(memory) > kMostMemoryBytes || key_bytes(memory) + value_bytes(memory) > kMostMemoryBytes) {
    throw Damage{ErrorKind::kData, "has a shape [" + std::to_string(memory.layers) + ", " + std::to_string(memory.kv_heads) +
                                       ", " + std::to_string(memory.memory_length) + ", " + std::to_string(memory.head_size) +
                                       "] of " + name_of(memory.dtype) + " that takes more than " +
                                       std::to_string(kMostMemoryBytes) + " bytes"};
  }
  return memory;
}

std::vector<std::byte> encode_memory_payload(const Memory& memory, Compressor& compressor) {
  if (memory.keys.size() != key_bytes(memory) || memory.values.size() != value_bytes(memory)) {
    throw Damage{ErrorKind::kInternal, "has tensors of " + std::to_string(memory.keys.size()) + " and " +
                                           std::to_string(memory.values.size()) + " bytes, its shape needs " +
                                           std::to_string(key_bytes(memory)) + " and " + std::to_string(value_bytes(memory))};
  }
  std::vector<std::byte> payload, planes;
  for (const auto* tensor : {&memory.keys, &memory.values}) {
    if (tensor->empty()) continue;
    for_each_group(memory, [&](const PlaneShape& shape, std::size_t offset) {
      planes.resize(shape.bytes());
      split_planes(shape, std::span(*tensor).subspan(offset, shape.bytes()), planes);
      for (std::size_t plane = 0; plane < item_bytes(shape.dtype); ++plane) {
        compressor.append_frame(std::span(planes).subspan(plane * shape.items(), shape.items()), payload);
      }
    });
  }
  return payload;
}

Memory decode_memory_payload(Memory memory, std::span<const std::byte> payload, Expander& expander) {
  std::vector<std::byte> planes;
  memory.keys.resize(key_bytes(memory));
  memory.values.resize(value_bytes(memory));
  for (auto* tensor : {&memory.keys, &memory.values}) {
    if (tensor->empty()) continue;
    for_each_group(memory, [&](const PlaneShape& shape, std::size_t offset) {
      planes.resize(shape.bytes());
      for (std::size_t plane = 0; plane < item_bytes(shape.dtype); ++plane) {
        expander.expand_frame(payload, std::span(planes).subspan(plane * shape.items(), shape.items()));
      }
      join_planes(shape, planes, std::span(*tensor).subspan(offset, shape.bytes()));
    });
  }
  if (!payload.empty()) throw Damage{ErrorKind::kData, "has " + std::to_string(payload.size()) + " bytes after its payload"};
  return memory;
}

}  // namespace uio
