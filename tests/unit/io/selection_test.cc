#include "io/selection.h"

#include "unit/io/samples.h"

using namespace uio;
using namespace uio::test;

namespace {

std::string selected(const std::string& range) {
  const Selection selection({}, range);
  std::string found;
  for (std::uint64_t i = 0; i < 6; ++i) {
    if (selection.contains({"d", i})) found += std::to_string(i);
  }
  return found;
}

}  // namespace

TEST_CASE("ranges of segments include both ends") {
  CHECK(selected("") == "012345");
  CHECK(selected("2") == "2");
  CHECK(selected("1-3") == "123");
  CHECK(selected("4-") == "45");
  CHECK(selected("-1") == "01");
  CHECK(selected("7-9").empty());
}

TEST_CASE("other ranges are misuse") {
  for (const char* bad : {"-", "a", "1-2-3", "3-1", "1,2", " 1", "1 ", "+1", "0x1", "18446744073709551616", "1--2"}) {
    CAPTURE(bad);
    CHECK(status_of([&] { Selection({}, bad); }) == 2);
  }
}

TEST_CASE("documents are matched whole, together with the range") {
  const Selection selection({"a", "b/c"}, "1-");
  CHECK(selection.contains({"a", 1}));
  CHECK(selection.contains({"b/c", 2}));
  CHECK(!selection.contains({"a", 0}));
  CHECK(!selection.contains({"b", 1}));
  CHECK(!selection.is_all());
  CHECK(!Selection({}, "0-5").is_all());
  CHECK(Selection({}, "").is_all());
}
