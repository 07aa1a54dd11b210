// Documents of the dictionary lookup: what stands in them, and that any part of one is the same part.
#include "score/dictionary.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <vector>

#include "unit/model/tiny.h"

namespace uio {
namespace {

using Ids = std::vector<std::int64_t>;

Ids part(const Dictionary& dictionary, std::int64_t begin, std::int64_t end) {
  Ids ids(static_cast<std::size_t>(end - begin));
  dictionary.copy(begin, end, ids.data());
  return ids;
}

TEST_CASE("definitions with unique keys, then queries about them") {
  for (const std::int64_t length : {266, 300, 512, 4096, 100003}) {
    const Dictionary dictionary(length, 3, 1);
    const Ids ids = part(dictionary, 0, length);
    CHECK(dictionary.size() == length);
    CHECK(dictionary.records() == (length - 256) / 10);
    std::map<Ids, Ids> values;
    for (std::int64_t r = 0; r < dictionary.records(); ++r) {
      const auto at = ids.begin() + 10 * r;
      CHECK((at[0] == 1 && at[5] == 2));
      for (const std::int64_t i : {1, 2, 3, 4, 6, 7, 8, 9}) CHECK((at[i] >= 4 && at[i] < 64));
      CHECK(values.emplace(Ids(at + 1, at + 5), Ids(at + 6, at + 10)).second);
    }
    const std::int64_t first = dictionary.first_query();
    CHECK(first == length - 256);
    if (first % 10 > 0) CHECK(ids[static_cast<std::size_t>(dictionary.records() * 10)] == 1);  // a definition that is cut short
    std::set<Ids> asked;
    for (std::int64_t q = 0; q < 25; ++q) {
      const auto at = ids.begin() + first + 10 * q;
      CHECK((at[0] == 3 && at[5] == 2));
      const auto found = values.find(Ids(at + 1, at + 5));
      REQUIRE(found != values.end());
      CHECK(found->second == Ids(at + 6, at + 10));
      asked.insert(found->first);
      for (std::int64_t i = 0; i < 10; ++i) CHECK(dictionary.place_in_value(first + 10 * q + i) == (i < 6 ? -1 : i - 6));
    }
    CHECK(ids[static_cast<std::size_t>(length - 6)] == 3);  // a query without its value, which nobody asks for
    for (std::int64_t t = length - 6; t < length; ++t) CHECK(dictionary.place_in_value(t) == -1);
    for (const std::int64_t t : {std::int64_t{0}, first - 1, first - 4}) CHECK(dictionary.place_in_value(t) == -1);
    if (length > 4000) CHECK(asked.size() > 20);  // of many records, few are asked for twice
  }
}

TEST_CASE("any part of a document is the part of the whole") {
  const Dictionary dictionary(600, 7, 0);
  const Ids whole = part(dictionary, 0, 600);
  for (const auto& [begin, end] : {std::pair<std::int64_t, std::int64_t>{0, 1}, {3, 3}, {7, 24}, {330, 360}, {343, 345}, {599, 600}, {0, 600}}) {
    CHECK(part(dictionary, begin, end) == Ids(whole.begin() + begin, whole.begin() + end));
    CHECK(dictionary.ids(begin, end).sizes() == at::IntArrayRef({1, end - begin}));
  }
}

TEST_CASE("a longer document goes on with the same definitions; other seeds and numbers have others") {
  const Ids ids = part(Dictionary(512, 3, 1), 0, 256);
  CHECK(part(Dictionary(4096, 3, 1), 0, 256) == ids);
  CHECK(part(Dictionary(512, 3, 2), 0, 256) != ids);
  CHECK(part(Dictionary(512, 4, 1), 0, 256) != ids);
}

TEST_CASE("keys are unique to the last, and no longer document is made") {
  const Dictionary most(Dictionary::kMost, 1, 0);
  CHECK(most.records() == 12960000);
  // Stretches from anywhere have no key in common.
  std::set<Ids> keys;
  for (const std::int64_t begin : {std::int64_t{0}, most.records() / 2, most.records() - 2000}) {
    const Ids ids = part(most, 10 * begin, 10 * (begin + 2000));
    for (std::size_t r = 0; r < 2000; ++r) CHECK(keys.emplace(ids.begin() + static_cast<std::ptrdiff_t>(10 * r + 1), ids.begin() + static_cast<std::ptrdiff_t>(10 * r + 5)).second);
  }
  test::check_error([] { Dictionary(Dictionary::kMost + 1, 1, 0); }, ErrorKind::kUsage, {"129600257", "from 266"});
  test::check_error([] { Dictionary(265, 1, 0); }, ErrorKind::kUsage, {"'265'", "from 266"});
}

}  // namespace
}  // namespace uio
