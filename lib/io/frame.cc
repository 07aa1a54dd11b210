#include "io/frame.h"

#include <algorithm>

#include "base/endian.h"
#include "base/hash.h"
#include "io/damage.h"
#include "io/limits.h"

namespace uio {
namespace {

// Offsets in the header.
enum : std::size_t {
  kSizeAt = 4,
  kMagicAt = 8,
  kMajorAt = 16,
  kMinorAt = 17,
  kKindAt = 18,
  kFlagsAt = 19,
  kMapBytesAt = 20,
  kNumberAt = 24,
  kStoredAt = 32,
  kDecodedAt = 40,
  kPayloadChecksumAt = 48,
  kLinkAt = 56,
};

}  // namespace

std::vector<std::byte> encode_frame_header(FrameHeader& header) {
  std::vector<std::byte> bytes(kFixedBytes + header.map.size() + kChecksumBytes);
  std::byte* at = bytes.data();
  store_le<std::uint32_t>(at, kSkippableMagic);
  store_le<std::uint32_t>(at + kSizeAt, static_cast<std::uint32_t>(bytes.size() - kSkippableBytes));
  std::copy(kMagic.begin(), kMagic.end(), at + kMagicAt);
  at[kMajorAt] = std::byte{header.major};
  at[kMinorAt] = std::byte{header.minor};
  at[kKindAt] = static_cast<std::byte>(header.kind);
  at[kFlagsAt] = std::byte{header.flags};
  store_le<std::uint32_t>(at + kMapBytesAt, static_cast<std::uint32_t>(header.map.size()));
  store_le(at + kNumberAt, header.number);
  store_le(at + kStoredAt, header.stored_bytes);
  store_le(at + kDecodedAt, header.decoded_bytes);
  store_le(at + kPayloadChecksumAt, header.payload_checksum);
  store_le(at + kLinkAt, header.link);
  std::copy(header.map.begin(), header.map.end(), at + kFixedBytes);
  const std::size_t covered = bytes.size() - kChecksumBytes;
  header.checksum = checksum(std::span(bytes).first(covered));
  store_le(at + covered, header.checksum);
  return bytes;
}

bool is_frame_start(std::span<const std::byte> bytes) { return bytes.size() >= kMajorAt && could_start_frame(bytes); }

bool could_start_frame(std::span<const std::byte> bytes) {
  std::array<std::byte, kMajorAt> expected{};
  store_le<std::uint32_t>(expected.data(), kSkippableMagic);
  std::copy(kMagic.begin(), kMagic.end(), expected.begin() + kMagicAt);
  for (std::size_t i = 0; i < std::min(bytes.size(), expected.size()); ++i) {
    const bool is_size = i >= kSizeAt && i < kMagicAt;
    if (!is_size && bytes[i] != expected[i]) return false;
  }
  return true;
}

std::uint64_t frame_header_bytes(std::span<const std::byte> bytes) {
  return std::uint64_t{load_le<std::uint32_t>(bytes.data() + kSizeAt)} + kSkippableBytes;
}

FrameHeader decode_frame_header(std::span<const std::byte> bytes) {
  // The checksum first, and where every major version has it: a flipped bit in the version is damage, not another version.
  const std::size_t covered = bytes.size() - kChecksumBytes;
  const std::byte* at = bytes.data();
  FrameHeader header;
  header.checksum = load_le<std::uint64_t>(at + covered);
  if (checksum(bytes.first(covered)) != header.checksum) throw Damage{ErrorKind::kData, "is damaged (header checksum differs)"};
  header.major = std::to_integer<std::uint8_t>(at[kMajorAt]);
  if (header.major != kMajor) {
    throw Damage{ErrorKind::kMismatch, "has format version " + std::to_string(header.major) + ", this program reads version " +
                                           std::to_string(kMajor)};
  }
  const std::uint64_t map_bytes = load_le<std::uint32_t>(at + kMapBytesAt);
  if (map_bytes != covered - kFixedBytes) {
    throw Damage{ErrorKind::kData, "has a map of " + std::to_string(map_bytes) + " bytes, its header has room for " +
                                       std::to_string(covered - kFixedBytes)};
  }
  header.minor = std::to_integer<std::uint8_t>(at[kMinorAt]);
  header.kind = static_cast<FrameKind>(at[kKindAt]);
  header.flags = std::to_integer<std::uint8_t>(at[kFlagsAt]);
  header.number = load_le<std::uint64_t>(at + kNumberAt);
  header.stored_bytes = load_le<std::uint64_t>(at + kStoredAt);
  header.decoded_bytes = load_le<std::uint64_t>(at + kDecodedAt);
  header.payload_checksum = load_le<std::uint64_t>(at + kPayloadChecksumAt);
  header.link = load_le<std::uint64_t>(at + kLinkAt);
  header.map.assign(bytes.begin() + kFixedBytes, bytes.begin() + static_cast<std::ptrdiff_t>(covered));
  return header;
}

}  // namespace uio
