// Largest sizes that streams may declare. Nothing is allocated for a size before it was compared with these; uio-stream(5)
// and uio-memory(5) state them.
#pragma once

#include <cstdint>

namespace uio {

inline constexpr std::uint64_t kLongestMap = 1 << 20;              // bytes of a frame's map
inline constexpr std::uint64_t kMostMapEntries = 4096;             // entries of one msgpack map or array
inline constexpr std::uint64_t kDeepestMap = 8;                    // nesting of msgpack values
inline constexpr std::uint64_t kLongestDocumentId = 1 << 16;       // bytes
inline constexpr std::uint64_t kLongestWord = 64;                  // bytes of a method's, scheme's or dtype's name
inline constexpr std::uint64_t kMostTokens = 1 << 24;              // tokens of a segment
inline constexpr std::uint64_t kMostTextBytes = 1 << 28;           // text bytes of a segment
inline constexpr std::uint64_t kLargestSize = (1 << 16) - 1;       // layers, heads, head size, memory tokens
inline constexpr std::uint64_t kMostMemoryBytes = 1ull << 32;      // decoded tensors of a memory
inline constexpr std::uint64_t kLargestOffset = (1ull << 63) - 1;  // positions in a document, in bytes or tokens

// zstd never makes more than this of one stored byte (a block of 128 KiB takes at least 4 bytes), so a longer declared
// length is a lie that can be told before it costs memory.
inline constexpr std::uint64_t kLargestRatio = 1 << 15;

// What an incompressible payload may grow by: zstd's own framing and a checksum per frame.
constexpr std::uint64_t largest_stored(std::uint64_t decoded) { return decoded == 0 ? 0 : decoded + decoded / 64 + 4096; }

}  // namespace uio
