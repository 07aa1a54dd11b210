// UTF-8, exactly: what is valid, where it stops being valid, and whole characters out of a byte stream.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace uio {

// Offset of the first byte that does not belong to a valid UTF-8 sequence (overlong, surrogate, beyond U+10FFFF, cut), or npos.
std::size_t find_invalid_utf8(std::string_view text);
// Length of the longest prefix that ends between characters; a cut sequence at the end is left out, invalid bytes count as
// whole.
std::size_t whole_utf8_prefix(std::string_view text);
// Length of the maximal invalid subsequence at `text[at]`, which is not a valid sequence (Unicode's recommended practice: the
// longest beginning of a well-formed sequence, or one byte).
std::size_t invalid_utf8_length(std::string_view text, std::size_t at);
// Every maximal invalid subsequence becomes U+FFFD (Unicode's recommended practice).
std::string replace_invalid_utf8(std::string_view text);

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

// One character and the bytes it takes. A byte that begins no valid sequence is U+FFFD of one byte.
struct Character {
  char32_t code;
  std::size_t bytes;
};
// The character at `text[at]`; `at` < text.size().
Character character_at(std::string_view text, std::size_t at);
// Where the character begins that ends at `at` > 0.
std::size_t begin_of_character_before(std::string_view text, std::size_t at);
// The last place of `text` between characters a and b for which may_part(a, b) holds; 0 if there is none.
template <typename MayPart>
std::size_t last_place_between(std::string_view text, const MayPart& may_part) {
  if (text.empty()) return 0;
  for (std::size_t right = begin_of_character_before(text, text.size()); right > 0;) {
    const std::size_t left = begin_of_character_before(text, right);
    if (may_part(character_at(text, left).code, character_at(text, right).code)) return right;
    right = left;
  }
  return 0;
}
// The character's bytes; `code` is not a surrogate and not beyond U+10FFFF.
std::string utf8_of(char32_t code);

}  // namespace uio
