#include "base/quote.h"

#include <catch2/catch.hpp>

using uio::quote;

TEST_CASE("quote leaves plain names alone") {
  CHECK(quote("a.txt") == "'a.txt'");
  CHECK(quote("") == "''");
  CHECK(quote("with space/ünï—日本🦊") == "'with space/ünï—日本🦊'");
}

TEST_CASE("quote shows what could move a cursor or break a line") {
  CHECK(quote("a\nb\tc\x1b[2J\x7f") == "'a\\x0ab\\x09c\\x1b[2J\\x7f'");
  CHECK(quote(std::string_view("\0", 1)) == "'\\x00'");
  CHECK(quote("\xc2\x9b") == "'\\xc2\\x9b'");           // CSI of the C1 controls
  CHECK(quote("\xc2\xa0") == "'\xc2\xa0'");             // no-break space is text
  CHECK(quote("\xe2\x80\xae") == "'\\xe2\\x80\\xae'");  // right-to-left override
  CHECK(quote("\xe2\x80\xa8") == "'\\xe2\\x80\\xa8'");  // line separator
  CHECK(quote("\xe2\x81\xa6") == "'\\xe2\\x81\\xa6'");  // isolate
  CHECK(quote("\xe2\x80\xa6") == "'…'");
}

TEST_CASE("quote shows bytes that are not UTF-8") {
  CHECK(quote("\xff") == "'\\xff'");
  CHECK(quote("\xc0\x80") == "'\\xc0\\x80'");
  CHECK(quote("\xed\xa0\x80") == "'\\xed\\xa0\\x80'");
  CHECK(quote("a\xf0\x9f") == "'a\\xf0\\x9f'");
}

TEST_CASE("quote cuts after 200 bytes, never inside a character") {
  CHECK(quote(std::string(200, 'a')) == "'" + std::string(200, 'a') + "'");
  CHECK(quote(std::string(201, 'a')) == "'" + std::string(200, 'a') + "…'");
  CHECK(quote(std::string(199, 'a') + "é") == "'" + std::string(199, 'a') + "…'");
}
