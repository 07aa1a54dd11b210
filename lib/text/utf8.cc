// Validation and cutting on top of base's one-sequence check (Unicode 15, 3.9: table 3-7 and "U+FFFD substitution").
#include "text/utf8.h"

#include <cstdint>
#include <cstring>

#include "base/utf8_sequence.h"

namespace uio {
namespace {

// Offset of the first byte at or after `at` that is not ASCII, eight at a time: real text is mostly ASCII.
std::size_t skip_ascii(std::string_view text, std::size_t at) {
  while (at + 8 <= text.size()) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    if (word & 0x8080808080808080u) break;
    at += 8;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

// True if `text[at, at + length)` can be completed to a well-formed sequence by further bytes.
bool is_cut_sequence(std::string_view text, std::size_t at, std::size_t length) {
  const unsigned char first = text[at];
  const std::size_t full = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || length >= full) return false;
  // Completed with the least and the greatest continuation byte: one of the two is allowed in the second place wherever
  // any is, except after F0..F4 and E0..ED, whose ranges always hold 0x80 or 0xBF.
  for (const char fill : {'\x80', '\xBF'}) {
    std::string candidate(text.substr(at, length));
    candidate.resize(full, fill);
    if (utf8_sequence_length(candidate, 0) == full) return true;
  }
  return false;
}

}  // namespace

std::size_t find_invalid_utf8(std::string_view text) {
  for (std::size_t at = skip_ascii(text, 0); at < text.size(); at = skip_ascii(text, at)) {
    const std::size_t length = utf8_sequence_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

std::size_t whole_utf8_prefix(std::string_view text) {
  // A cut sequence is at most three bytes, and begins with the last byte that is not a continuation byte.
  for (std::size_t length = 1; length <= 3 && length <= text.size(); ++length) {
    const std::size_t at = text.size() - length;
    if ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) continue;
    return is_cut_sequence(text, at, length) ? at : text.size();
  }
  return text.size();
}

std::size_t invalid_utf8_length(std::string_view text, std::size_t at) {
  std::size_t length = 1;
  if (!is_cut_sequence(text, at, 1)) return 1;
  while (length < 3 && at + length < text.size() && is_cut_sequence(text, at, length + 1)) ++length;
  return length;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t invalid = find_invalid_utf8(text);
    out += text.substr(0, invalid);
    if (invalid == std::string_view::npos) break;
    out += kReplacementCharacter;
    text.remove_prefix(invalid + invalid_utf8_length(text, invalid));
  }
  return out;
}

Character character_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  if (byte(0) < 0x80) return {byte(0), 1};
  const auto low = [&](std::size_t i) { return static_cast<char32_t>(byte(i) & 0x3F); };
  switch (utf8_sequence_length(text, at)) {
    case 2:
      return {static_cast<char32_t>(byte(0) & 0x1F) << 6 | low(1), 2};
    case 3:
      return {static_cast<char32_t>(byte(0) & 0x0F) << 12 | low(1) << 6 | low(2), 3};
    case 4:
      return {static_cast<char32_t>(byte(0) & 0x07) << 18 | low(1) << 12 | low(2) << 6 | low(3), 4};
    default:
      return {0xFFFD, 1};
  }
}

std::size_t begin_of_character_before(std::string_view text, std::size_t at) {
  do --at;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return at;
}

std::string utf8_of(char32_t code) {
  const auto low = [&](int shift) { return static_cast<char>(0x80 | (code >> shift & 0x3F)); };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xC0 | code >> 6), low(0)};
  if (code < 0x10000) return {static_cast<char>(0xE0 | code >> 12), low(6), low(0)};
  return {static_cast<char>(0xF0 | code >> 18), low(12), low(6), low(0)};
}

}  // namespace uio
