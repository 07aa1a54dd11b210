#include "base/hash.h"

#include <catch2/catch.hpp>
#include <string>

using namespace uio;

namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

TEST_CASE("SHA-256 of the standard's examples") {
  CHECK(sha256_hex({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex(bytes("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("a hasher in pieces equals one call; fields do not run into each other") {
  Hasher whole, pieces;
  whole.add(bytes("abcdef"));
  pieces.add(bytes("abc"));
  pieces.add({});
  pieces.add(bytes("def"));
  CHECK(whole.hex() == pieces.hex());

  Hasher a, b, plain;
  a.add_field("ab");
  a.add_field("c");
  b.add_field("a");
  b.add_field("bc");
  const std::string a_hex = a.hex();
  CHECK(a_hex != b.hex());
  plain.add(bytes(std::string_view("\2\0\0\0\0\0\0\0ab\1\0\0\0\0\0\0\0c", 19)));
  CHECK(a_hex == plain.hex());
}

TEST_CASE("XXH3-64 of known inputs, whole and in pieces") {
  CHECK(checksum({}) == 0x2d06800538d394c2);  // the value that start and end frames carry
  CHECK(checksum(bytes("abc")) == 0x78af5f94892f3950);
  std::string long_text(100'000, 'x');
  for (std::size_t i = 0; i < long_text.size(); ++i) long_text[i] = static_cast<char>(i * 31);
  Checksum sum;
  sum.add(bytes(long_text).first(7));
  sum.add({});
  sum.add(bytes(long_text).subspan(7));
  CHECK(sum.value() == checksum(bytes(long_text)));
}

TEST_CASE("XXH3-128 of fields that cannot run into each other") {
  CHECK(WideChecksum().hex() == "99aa06d3014798d86001c324468d497f");  // the algorithm's value of nothing
  WideChecksum a, b, again;
  a.add_field("ab");
  a.add_field("c");
  b.add_field("a");
  b.add_field("bc");
  again.add_field("ab");
  again.add_field("c");
  CHECK(a.hex() != b.hex());
  CHECK(a.hex() == again.hex());
}
