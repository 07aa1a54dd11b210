#include "io/header_map.h"

#include <catch2/catch.hpp>
#include <limits>
#include <string>

#include "io/damage.h"

using namespace uio;
using namespace std::literals;

namespace {

std::vector<std::byte> bytes(std::string_view text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

template <typename Action>
std::string reason_of(const Action& action) {
  try {
    action();
  } catch (const Damage& damage) {
    CHECK(damage.kind == ErrorKind::kData);
    return damage.reason;
  }
  return "";
}

// A map with one field `f` whose value is the given msgpack.
std::vector<std::byte> field(std::string_view value) {
  return bytes(
      "\x81\xa1"
      "f" +
      std::string(value));
}

}  // namespace

TEST_CASE("fields come back as they were written") {
  HeaderMapWriter writer(7);
  writer.add_natural("zero", 0);
  writer.add_natural("most", std::numeric_limits<std::uint64_t>::max());
  writer.add_boolean("yes", true);
  writer.add_word("word", "bf16");
  writer.add_bytes("bytes", std::string_view("\0\xff", 2));
  writer.add_fingerprint("print", std::string(64, 'e'));
  writer.add_provenance("past", {{"a", "1", {{"x", "y"}}}, {"b", "2", {}}});
  const auto map = writer.take();
  HeaderMapReader reader(map);
  CHECK(reader.has("zero"));
  CHECK(!reader.has("none"));
  CHECK(reader.natural("zero", 0, 0) == 0);
  CHECK(reader.natural("most", 0, std::numeric_limits<std::uint64_t>::max()) == std::numeric_limits<std::uint64_t>::max());
  CHECK(reader.boolean("yes"));
  CHECK(reader.word("word") == "bf16");
  CHECK(reader.bytes("bytes", 2) == std::string("\0\xff", 2));
  CHECK(reader.fingerprint("print") == std::string(64, 'e'));
  const Provenance past = reader.provenance("past");
  REQUIRE(past.size() == 2);
  CHECK(past[0].options == Stage{"", "", {{"x", "y"}}}.options);
  CHECK(past[1].program == "b");
  reader.finish();
}

TEST_CASE("maps that are no maps are refused") {
  for (const std::string& bad :
       {std::string(""), std::string("\x90"), std::string("\xc0"), std::string("\x81"), std::string("\x81\x01\x01"),
        std::string("\x82\xa1"
                    "a\x01\xa1"
                    "a\x01"),
        std::string("\x81\xa1\xff\x01"), std::string("\x80\x80"), std::string("\xdf\xff\xff\xff\xff", 5),
        std::string("\xde\x20\x00", 3), std::string("\xc1"), std::string("\xdd\xff\xff\xff\xff", 5),
        std::string("\x81\xa1"
                    "a\xd4\x01\x01"),
        "\x81\xa1"
        "a" +
            std::string(2000, '\x91') + "\x01"}) {
    CAPTURE(bad);
    CHECK(reason_of([&] { HeaderMapReader reader(bytes(bad)); }) != "");
  }
  CHECK(reason_of([] {
          HeaderMapReader reader(
              bytes("\x82\xa1"
                    "a\x01\xa1"
                    "a\x01"));
        }) == "has the field 'a' twice");
  CHECK(reason_of([] { HeaderMapReader(bytes("\x80")).finish(); }) == "");
}

TEST_CASE("a field of another type or range is refused by name") {
  const auto natural = [](std::string_view value) {
    return reason_of([&] { HeaderMapReader(field(value)).natural("f", 2, 5); });
  };
  CHECK(natural("\x02") == "");
  CHECK(natural("\xcd\x00\x05"sv) == "");
  CHECK(natural("\x01") == "has a field 'f' of 1, expected 2 to 5");
  CHECK(natural("\x06") == "has a field 'f' of 6, expected 2 to 5");
  for (const char* bad : {"\xff", "\xc3", "\xc0",
                          "\xa1"
                          "3",
                          "\x90", "\x80", "\xca\x40\x40\x01\x01"}) {
    CHECK(natural(bad) == "has a field 'f' that is not a natural number");
  }
  CHECK(reason_of([] { HeaderMapReader(field("\x01")).boolean("f"); }) == "has a field 'f' that is not true or false");
  CHECK(reason_of([] { HeaderMapReader(field("\xc4\x01x")).word("f"); }) == "has a field 'f' that is not a string");
  CHECK(reason_of([] { HeaderMapReader(field("\xa0")).word("f"); }) == "has a field 'f' of 0 bytes, expected 1 to 64");
  CHECK(reason_of([] { HeaderMapReader(field("\xa1\xff")).word("f"); }) == "has a field 'f' that is not UTF-8");
  CHECK(reason_of([] { HeaderMapReader(field("\xa1x")).bytes("f", 9); }) == "has a field 'f' that is not bytes");
  CHECK(reason_of([] { HeaderMapReader(field("\xc4\x02xx")).bytes("f", 1); }) ==
        "has a field 'f' of 2 bytes, expected at most 1");
  CHECK(reason_of([] { HeaderMapReader(field("\xc4\x02xx")).fingerprint("f"); }) == "has a field 'f' of 2 bytes, expected 32");
  CHECK(reason_of([] { HeaderMapReader(field("\xc4\x00"sv)).fingerprint("f"); }) == "has a field 'f' of 0 bytes, expected 32");
  CHECK(reason_of([] { HeaderMapReader(field("\xc4\x00"sv)).fingerprint("f", true); }) == "");
  CHECK(reason_of([] { HeaderMapReader(field("\x01")).natural("g", 0, 1); }) == "has no field 'g'");
  CHECK(reason_of([] { HeaderMapReader(field("\x01")).provenance("f"); }) == "has a field 'f' that is not a list");
  CHECK(reason_of([] { HeaderMapReader(field("\x91\x01")).provenance("f"); }) == "has a field 'f' that is not a map");
  CHECK(reason_of([] { HeaderMapReader(field("\x91\x80")).provenance("f"); }) ==
        "has a field 'f' with a stage of 0 fields, expected 3");
}

TEST_CASE("unknown fields are refused, remarks are not") {
  CHECK(reason_of([] { HeaderMapReader(field("\x01")).finish(); }) == "has a field 'f' that this version does not know");
  CHECK(reason_of([] { HeaderMapReader(bytes("\x81\xa3x-f\x91\x01")).finish(); }) == "");
}

TEST_CASE("fingerprints are 64 hexadecimal digits or none") {
  HeaderMapWriter writer(1);
  for (const std::string& bad : {std::string(63, 'a'), std::string(66, 'a'), std::string(64, 'A'), std::string("xy")}) {
    CHECK(reason_of([&] { writer.add_fingerprint("f", bad); }) != "");
  }
}
