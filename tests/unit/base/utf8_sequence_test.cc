#include "base/utf8_sequence.h"

#include <catch2/catch.hpp>
#include <string>

using namespace uio;

namespace {

// The definition, spelled out: encode every code point and nothing else is well-formed.
std::string encode(unsigned code) {
  std::string text;
  if (code < 0x80) {
    text = {static_cast<char>(code)};
  } else if (code < 0x800) {
    text = {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
  } else if (code < 0x10000) {
    text = {static_cast<char>(0xE0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 63)),
            static_cast<char>(0x80 | (code & 63))};
  } else {
    text = {static_cast<char>(0xF0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 63)),
            static_cast<char>(0x80 | (code >> 6 & 63)), static_cast<char>(0x80 | (code & 63))};
  }
  return text;
}

}  // namespace

TEST_CASE("every code point but the surrogates is one sequence") {
  unsigned wrong = 0;
  for (unsigned code = 0; code <= 0x10FFFF; ++code) {
    const std::string text = encode(code);
    const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
    wrong += utf8_sequence_length(text + "a", 0) != (is_surrogate ? 0 : text.size());
  }
  CHECK(wrong == 0);
  CHECK(utf8_sequence_length(encode(0x110000), 0) == 0);
}

TEST_CASE("nothing else is: all pairs and triples of bytes") {
  std::size_t pairs = 0, triples = 0;
  std::string text(3, 0);
  for (unsigned a = 0x80; a < 0x100; ++a) {
    for (unsigned b = 0; b < 0x100; ++b) {
      text = {static_cast<char>(a), static_cast<char>(b)};
      pairs += utf8_sequence_length(text, 0) == 2;
      for (unsigned c = 0; c < 0x100; ++c) {
        text = {static_cast<char>(a), static_cast<char>(b), static_cast<char>(c)};
        triples += utf8_sequence_length(text, 0) == 3;
      }
    }
  }
  CHECK(pairs == 0x800 - 0x80);
  CHECK(triples == 0x10000 - 0x800 - 0x800);
}

TEST_CASE("cut sequences and later positions") {
  CHECK(utf8_sequence_length("é", 1) == 0);
  CHECK(utf8_sequence_length("aé", 1) == 2);
  CHECK(utf8_sequence_length("\xf0\x9f\xa6", 0) == 0);
  CHECK(utf8_sequence_length("", 0) == 0);
  CHECK(is_utf8("日本🦊"));
  CHECK(is_utf8(""));
  CHECK(!is_utf8("日本\xf0\x9f\xa6"));
}
