#include "base/build_id.h"

#include <catch2/catch.hpp>
#include <cstdio>

TEST_CASE("code has the build id of the object that holds it") {
  static const int here = 0;
  const std::string ours = uio::build_id_of(&here), libc = uio::build_id_of(reinterpret_cast<const void*>(&std::fputs));
  CHECK(ours.find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(ours == uio::build_id_of(&here));
  if (!ours.empty()) CHECK(ours != libc);
  int on_the_stack = 0;
  CHECK(uio::build_id_of(&on_the_stack).empty());
}
