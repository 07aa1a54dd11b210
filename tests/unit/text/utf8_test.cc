#include "text/utf8.h"

#include <catch2/catch.hpp>

#include "unit/text/fixtures.h"

using namespace uio;

namespace {

// The definition, written down as slowly as it reads: decode, then look at the number.
bool is_valid_sequence(std::string_view s) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  std::uint32_t code = 0, least = 0;
  if (s.size() == 1) return byte(0) < 0x80;
  if (s.size() == 2 && byte(0) >> 5 == 6) code = byte(0) & 0x1F, least = 0x80;
  if (s.size() == 3 && byte(0) >> 4 == 14) code = byte(0) & 0x0F, least = 0x800;
  if (s.size() == 4 && byte(0) >> 3 == 30) code = byte(0) & 0x07, least = 0x10000;
  if (least == 0) return false;
  for (std::size_t i = 1; i < s.size(); ++i) {
    if (byte(i) >> 6 != 2) return false;
    code = code << 6 | (byte(i) & 0x3F);
  }
  return code >= least && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
}

std::size_t slow_find_invalid(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    std::size_t length = 1;
    while (length <= 4 && at + length <= text.size() && !is_valid_sequence(text.substr(at, length))) ++length;
    if (length > 4 || at + length > text.size()) return at;
    at += length;
  }
  return std::string_view::npos;
}

// True if some continuation makes `cut` one valid sequence.
bool can_be_completed(const std::string& cut) {
  for (std::size_t more = 1; cut.size() + more <= 4; ++more) {
    for (int fill = 0x80; fill <= 0xBF; ++fill) {
      if (is_valid_sequence(cut + std::string(more, static_cast<char>(fill)))) return true;
    }
  }
  return false;
}

}  // namespace

TEST_CASE("every sequence of two bytes, and three with telling ones, is judged as by the definition") {
  const std::string telling = {'\x00', '\x41', '\x7F', '\x80', '\x8F', '\x90', '\x9F',
                               '\xA0', '\xBF', '\xC0', '\xC2', '\xED', '\xFF'};
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      std::string text = {static_cast<char>(a), static_cast<char>(b)};
      if (find_invalid_utf8(text) != slow_find_invalid(text)) FAIL(a << " " << b);
      for (const char c : telling) {
        for (const char d : telling) {
          const std::string four = text + c + d;
          if (find_invalid_utf8(four) != slow_find_invalid(four)) FAIL(a << " " << b << " " << int(c) << " " << int(d));
          if (find_invalid_utf8("12345678" + four) % 8 != slow_find_invalid(four) % 8) FAIL("after eight bytes");
        }
      }
    }
  }
}

TEST_CASE("a whole prefix leaves out just a sequence that can still be completed") {
  for (int a = 0; a < 256; ++a) {
    const std::string one(1, static_cast<char>(a));
    if (whole_utf8_prefix("x" + one) != (can_be_completed(one) ? 1u : 2u)) FAIL(a);
    for (int b = 0; b < 256; ++b) {
      const std::string two = one + static_cast<char>(b);
      if (can_be_completed(two) && whole_utf8_prefix("x" + two) != 1) FAIL(a << " " << b);
      if (!can_be_completed(two) && whole_utf8_prefix("x" + two) < 2) FAIL(a << " " << b);
    }
  }
  CHECK(whole_utf8_prefix("") == 0);
  CHECK(whole_utf8_prefix("aé") == 3);
  CHECK(whole_utf8_prefix("a\xF0\x9F\x99") == 1);
  CHECK(whole_utf8_prefix("a\xF0\x9F\x99\x82") == 5);
  CHECK(whole_utf8_prefix("a\xED\xA0") == 3);          // a surrogate is invalid already
  CHECK(whole_utf8_prefix("a\x80\x80\x80\x80") == 5);  // so are stray continuations
}

TEST_CASE("invalid bytes become one U+FFFD for each maximal subpart") {
  const std::string r = "\uFFFD";
  CHECK(replace_invalid_utf8("") == "");
  CHECK(replace_invalid_utf8("plain é") == "plain é");
  // Unicode 15, table 3-8 and the examples before it.
  CHECK(replace_invalid_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41") == r + r + r + r + r + r + r + r + "A");
  CHECK(replace_invalid_utf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41") == r + r + r + r + r + r + r + r + "A");
  CHECK(replace_invalid_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42") == r + r + r + r + r + "A" + r + r + "B");
  CHECK(replace_invalid_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41") == r + r + r + r + "A");
  CHECK(replace_invalid_utf8("cut \xF0\x9F\x99") == "cut " + r);
}

TEST_CASE("characters are decoded with their lengths") {
  const std::string text = "aé你🙂\xFF";
  CHECK(character_at(text, 0).code == U'a');
  CHECK(character_at(text, 1).code == U'é');
  CHECK(character_at(text, 3).code == U'你');
  CHECK(character_at(text, 6).code == U'🙂');
  CHECK(character_at(text, 6).bytes == 4);
  CHECK(character_at(text, 10).code == 0xFFFD);
  CHECK(character_at(text, 10).bytes == 1);
}
