#include "text/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "text/utf8.h"

namespace uio {
namespace {

constexpr bool is_printable(int byte) { return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174; }

constexpr int kCharacters = 324;  // 256 + the bytes that are not printable

// The byte of each character, -1 where it has none.
constexpr std::array<std::int16_t, kCharacters> make_bytes() {
  std::array<std::int16_t, kCharacters> bytes{};
  bytes.fill(-1);
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) bytes[is_printable(byte) ? byte : next++] = static_cast<std::int16_t>(byte);
  return bytes;
}

constexpr std::array<std::int16_t, kCharacters> kBytes = make_bytes();

}  // namespace

std::optional<std::string> bytes_of_entry(std::string_view entry) {
  std::string bytes;
  bytes.reserve(entry.size());
  for (std::size_t at = 0; at < entry.size();) {
    const Character next = character_at(entry, at);
    if (next.code >= kCharacters || kBytes[next.code] < 0) return std::nullopt;
    bytes += static_cast<char>(kBytes[next.code]);
    at += next.bytes;
  }
  return bytes;
}

}  // namespace uio
