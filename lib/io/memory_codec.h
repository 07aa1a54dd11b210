// Memories as a frame's map and payload, and back (uio-memory(5)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "io/compression.h"
#include "io/record.h"

namespace uio {

// Bytes of `keys` and of `values` that the header's shape and dtype imply; values have none in the hidden form.
std::uint64_t key_bytes(const Memory& memory);
std::uint64_t value_bytes(const Memory& memory);
// Bytes of the payload before zstd: of the tensors, or of their quantised parts, and of kept token ids.
std::uint64_t payload_bytes(const Memory& memory);
// How the tensors lie: exact keys and values that are stored (level 0) as rows, all others in planes.
Layout layout_at(const Memory& memory, bool is_stored);
// Bytes of the payload at level 0; no level that has the same layout makes more.
std::uint64_t stored_payload_bytes(const Memory& memory, Layout layout);

// Where the keys and values of a layer lie in a stored payload of rows: the frame that holds them, and how many bytes of its content are before them.
struct StoredLayer {
  struct Place {
    std::uint64_t frame, within;
  } keys, values;
};
// Of each layer, where the payload lies as level 0 writes rows; nothing where it does not.
std::optional<std::vector<StoredLayer>> stored_layers(const Memory& memory, std::span<const std::byte> payload);

std::vector<std::byte> encode_memory_map(const Memory& memory, Layout layout = Layout::kPlanes);
// A memory without tensors. Throws Damage: kData for a field that is missing or out of range, kMismatch for a form, precision
// or dtype that this version does not know.
Memory decode_memory_map(std::span<const std::byte> map);

struct EncodedMemory {
  std::vector<std::byte> map, payload;
};
// With what quantising changed added to the stated errors. Throws Damage: kData for a number that the precision cannot keep,
// naming its place; kInternal for tensors of another size than the header's shape.
EncodedMemory encode_memory(const Memory& memory, Compressor& compressor);
// Fills the tensors and the kept token ids of `header`. Throws Damage unless `payload` is exactly what the header implies.
Memory decode_memory_payload(Memory header, std::span<const std::byte> payload, Expander& expander);

}  // namespace uio
