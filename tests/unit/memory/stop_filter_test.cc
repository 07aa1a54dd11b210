// Text up to the first stop string, however it is cut into pieces.
#include "memory/stop_filter.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/random.h"

using uio::StopFilter;

namespace {

// Character by character: up to the first end of a stop string, without the longest that ends there.
std::string shown(const std::string& text, const std::vector<std::string>& stops) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    const std::string begin = text.substr(0, end);
    std::size_t longest = 0;
    for (const std::string& stop : stops)
      if (begin.ends_with(stop)) longest = std::max(longest, stop.size());
    if (longest > 0) return begin.substr(0, end - longest);
  }
  return text;
}

}  // namespace

TEST_CASE("what follows a stop string is never shown, in whatever pieces it comes") {
  uio::Random random(7, "stop filter");
  for (int round = 0; round < 2000; ++round) {
    const auto draw = [&](std::size_t most) {
      std::string text;
      for (std::size_t length = 1 + random.next() % most; length > 0; --length) text += static_cast<char>('a' + random.next() % 3);
      return text;
    };
    std::vector<std::string> stops;
    for (std::size_t count = random.next() % 4; count > 0; --count) stops.push_back(draw(4));
    const std::string text = draw(40);
    INFO(text);
    StopFilter filter(stops);
    std::string all;
    for (std::size_t at = 0; at < text.size() && !filter.is_stopped();) {
      const std::size_t size = 1 + random.next() % 3;
      all += filter.add(text.substr(at, size));
      CHECK(shown(text, stops).starts_with(all));
      at += size;
    }
    const bool is_stopped = shown(text, stops) != text;
    CHECK(filter.is_stopped() == is_stopped);
    all += filter.finish();
    CHECK(all == shown(text, stops));
  }
}

TEST_CASE("nothing is held back that cannot become a stop string") {
  StopFilter filter({"end", "dot"});
  CHECK(filter.add("a b") == "a b");
  CHECK(filter.add(" e") == " ");
  CHECK(filter.add("x") == "ex");
  CHECK(filter.add("en") == "");
  CHECK(filter.add("d") == "");
  CHECK(filter.is_stopped());
  CHECK(filter.finish().empty());
}
