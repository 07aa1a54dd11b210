#include "text/charsmap.h"

#include <cstring>
#include <map>

#include "text/sentencepiece_model.h"
#include "unit/text/fixtures.h"

using namespace uio;
using namespace text_test;

namespace {

std::map<std::string, std::string> rules_of(std::string_view charsmap) {
  std::map<std::string, std::string> rules;
  visit_charsmap(charsmap, "rules", [&](auto key, auto replacement) { rules.emplace(key, replacement); });
  return rules;
}

std::string golden_charsmap() {
  return parse_sentencepiece_model(read_file(golden() / "bpe-rules" / "tokenizer.model"), "golden").charsmap;
}

}  // namespace

TEST_CASE("all rules of a compiled map are listed") {
  const auto rules = rules_of(golden_charsmap());
  const std::map<std::string, std::string> expected = {
      {"\ufb03", "ffi"}, {"\ufb01", "fi"}, {"e\u0301", "é"}, {"\u3000", " "},        {"\u00a0", " "},       {"\t", " "},
      {"\n", " "},       {"\r", " "},      {"\uff21", "A"},  {"\u00bd", "1\u20442"}, {"\u00a8", " \u0308"}, {"\u200b", ""}};
  CHECK(rules == expected);
}

TEST_CASE("a map whose index leads outside, in circles or to no text is refused") {
  const std::string good = golden_charsmap();
  CHECK(error_of([&] { rules_of(good.substr(0, 3)); }).kind() == ErrorKind::kData);
  CHECK(error_of([&] { rules_of(good.substr(0, 100)); }).kind() == ErrorKind::kData);
  CHECK(error_of([&] { rules_of(good.substr(0, good.size() - 1)); }).reason() == "its replacements have no end");

  // A node whose child with label 'a' is itself: keys without end.
  std::vector<std::uint32_t> circle(256, 0x80000000u);
  circle['a'] = 'a' | static_cast<std::uint32_t>('a') << 10;
  circle[0] = 0;
  std::string bytes(4 + circle.size() * 4, '\0');
  const std::uint32_t size = circle.size() * 4;
  std::memcpy(bytes.data(), &size, 4);
  std::memcpy(bytes.data() + 4, circle.data(), size);
  CHECK(error_of([&] { rules_of(bytes + '\0'); }).reason() == "its index has no end");

  // Every unit pointing as far away as it can.
  std::string wild = good;
  for (std::size_t at = 4; at < 4 + 1024; ++at) wild[at] = '\xFF';
  CHECK(error_of([&] { rules_of(wild); }).kind() == ErrorKind::kData);
}

TEST_CASE("a map with more nested keys than the library has room for is refused") {
  // Keys a, aa, aaa, …: each node in a block of 256 units of its own, its children's base being the next block.
  const auto nested = [](std::uint32_t count) {
    std::vector<std::uint32_t> units(256 * (count + 2), 0x80000000u);
    std::uint32_t node = 0;
    for (std::uint32_t depth = 0; depth <= count; ++depth) {
      const std::uint32_t base = 256 * (depth + 1);
      const std::uint32_t label = depth == 0 ? 0 : 'a' | 1u << 8;
      units[node] = label | (node ^ base) << 10;
      if (depth > 0) units[base] = 0x80000000u;  // the value: replacement at 0
      node = base + 'a';
    }
    std::string bytes(4 + units.size() * 4, '\0');
    const std::uint32_t size = units.size() * 4;
    std::memcpy(bytes.data(), &size, 4);
    std::memcpy(bytes.data() + 4, units.data(), size);
    return bytes + "x" + std::string(1, '\0');
  };
  CHECK(rules_of(nested(32)).size() == 32);
  CHECK(error_of([&] { rules_of(nested(33)); }).reason() == "too many of its keys begin each other");
}
