// What failures of inputs add up to. What is printed goes to the test's own standard error.
#include "cli/console.h"

#include <catch2/catch.hpp>

using namespace uio;
using namespace uio::cli;

namespace {

const Error kDamaged(ErrorKind::kData, "damaged", "x", "");
const Error kMissing(ErrorKind::kIo, "missing", "x", "");
const Error kDiffers(ErrorKind::kNo, "differs", "x", "");

}  // namespace

TEST_CASE("nothing failed") {
  Console console("test");
  CHECK(console.status() == 0);
  CHECK(console.has_results());
  console.succeed();
  CHECK(console.status() == 0);
}

TEST_CASE("some failed") {
  Console console("test");
  console.fail(kDamaged);
  console.succeed();
  CHECK(console.status() == 1);
  CHECK(console.has_results());
}

TEST_CASE("all failed alike: their status, and nothing to keep") {
  Console console("test");
  console.fail(kDamaged);
  console.fail(kDamaged);
  CHECK(console.status() == 3);
  CHECK_FALSE(console.has_results());
}

TEST_CASE("all failed differently") {
  Console console("test");
  console.fail(kDamaged);
  console.fail(kMissing);
  console.fail(kMissing);
  CHECK(console.status() == 1);
  CHECK_FALSE(console.has_results());
}

TEST_CASE("a negative answer is a result") {
  Console console("test");
  console.fail(kDiffers);
  CHECK(console.status() == 1);
  CHECK(console.has_results());
}

TEST_CASE("the clock goes forward") {
  Console console("test");
  const double before = console.seconds();
  CHECK(console.seconds() >= before);
}
