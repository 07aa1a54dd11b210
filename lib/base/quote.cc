#include "base/quote.h"

#include "base/utf8_sequence.h"

namespace uio {
namespace {

constexpr std::size_t kLongestName = 200;

// C0 and DEL, the C1 controls (U+0080 to U+009F), line and paragraph separators, and the characters that turn the direction
// of what follows: all of them can make a line on a terminal say something else than its bytes.
bool is_control(std::string_view sequence) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(sequence[i]); };
  if (sequence.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7F;
  if (sequence.size() == 2) return byte(0) == 0xC2 && byte(1) < 0xA0;
  if (sequence.size() != 3 || byte(0) != 0xE2) return false;
  return (byte(1) == 0x80 && byte(2) >= 0xA8 && byte(2) <= 0xAE) || (byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9);
}

}  // namespace

std::string quote(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string quoted = "'";
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_sequence_length(text, at);
    const std::string_view sequence = text.substr(at, length == 0 ? 1 : length);
    if (at + sequence.size() > kLongestName) {
      quoted += "…";
      break;
    }
    if (length == 0 || is_control(sequence)) {
      for (const unsigned char byte : sequence) {
        quoted += "\\x";
        quoted += kDigits[byte >> 4];
        quoted += kDigits[byte & 15];
      }
    } else {
      quoted += sequence;
    }
    at += sequence.size();
  }
  return quoted + "'";
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace uio
