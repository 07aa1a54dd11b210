#include "base/error.h"

#include <catch2/catch.hpp>

using namespace uio;

TEST_CASE("an error reads what, subject, reason; parts that are empty are left out") {
  const Error whole(ErrorKind::kData, "cannot read", "a\n.uio", "record 17 ends early", "look here");
  CHECK(std::string(whole.what()) == "cannot read: 'a\\x0a.uio': record 17 ends early");
  CHECK(whole.status() == 3);
  CHECK(whole.hint() == "look here");
  CHECK(std::string(Error(ErrorKind::kUsage, "choose one", "", "").what()) == "choose one");
  CHECK(std::string(Error(ErrorKind::kIo, "cannot read", "", "no space").what()) == "cannot read: no space");
  CHECK(Error(ErrorKind::kInternal, "", "", "").status() == 70);
}
