// The fixed part of a frame: magic, version, kind, lengths, checksums (uio-stream(5), FRAMES).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace uio {

inline constexpr std::uint32_t kSkippableMagic = 0x184D2A55;
// "uio", a NUL and the bytes that PNG made famous: text-mode conversions cannot leave them whole.
inline constexpr std::array<std::byte, 8> kMagic = {std::byte{'u'},  std::byte{'i'},  std::byte{'o'},  std::byte{0},
                                                    std::byte{'\r'}, std::byte{'\n'}, std::byte{0x1A}, std::byte{'\n'}};
inline constexpr std::uint8_t kMajor = 1, kMinor = 0;
inline constexpr std::size_t kFixedBytes = 64;     // up to the map
inline constexpr std::size_t kChecksumBytes = 8;   // behind the map
inline constexpr std::size_t kSkippableBytes = 8;  // magic and size, which the size does not count

enum class FrameKind : std::uint8_t { kStart = 1, kSegment = 2, kMemory = 3, kEnd = 4 };
inline constexpr std::uint8_t kMaySkip = 1;  // flag: a reader that does not know the kind may go on

struct FrameHeader {
  std::uint8_t major = kMajor, minor = kMinor;
  FrameKind kind = FrameKind::kStart;
  std::uint8_t flags = 0;
  std::uint64_t number = 0;  // in its section: the start frame is 0
  std::uint64_t stored_bytes = 0, decoded_bytes = 0;
  std::uint64_t payload_checksum = 0;
  std::uint64_t link = 0;      // `checksum` of the frame before; 0 for a start frame
  std::uint64_t checksum = 0;  // of the header's own bytes before it
  std::vector<std::byte> map;
};

// The header as bytes; sets `header.checksum`.
std::vector<std::byte> encode_frame_header(FrameHeader& header);

// True if 16 bytes begin a frame of ours, of whatever version.
bool is_frame_start(std::span<const std::byte> bytes);
// True if fewer than 16 bytes could be the beginning of such a frame.
bool could_start_frame(std::span<const std::byte> bytes);
// Bytes of the whole header, from its first 16; only where is_frame_start holds.
std::uint64_t frame_header_bytes(std::span<const std::byte> bytes);
// Takes the header apart. Throws Damage: kData where the checksum or a length is wrong, kMismatch for another major version.
FrameHeader decode_frame_header(std::span<const std::byte> bytes);

}  // namespace uio
