#include "base/hex.h"

#include <catch2/catch.hpp>

using namespace uio;

TEST_CASE("hexadecimal digits there and back") {
  std::vector<std::byte> all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<std::byte>(i));
  const std::string digits = to_hex(all);
  CHECK(digits.substr(0, 6) == "000102");
  CHECK(digits.substr(506) == "fdfeff");
  CHECK(from_hex(digits) == all);
  CHECK(from_hex("") == std::vector<std::byte>{});
}

TEST_CASE("only pairs of lower-case digits are hexadecimal") {
  for (const char* bad : {"0", "0g", "0A", "0x", " 0", "abc", "`0", ":0", "/0"}) {
    CAPTURE(bad);
    CHECK(!from_hex(bad));
  }
}
