#include "score/dictionary.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/random.h"

namespace uio {

Dictionary::Dictionary(std::int64_t length, std::uint64_t seed, std::uint64_t number) : length_(length), records_((length - kQueryTokens) / kRecord) {
  if (length < kLeast || length > kMost)
    throw Error(ErrorKind::kUsage, "no dictionary of that length", std::to_string(length),
                "expected from " + std::to_string(kLeast) + " to " + std::to_string(kMost) + " tokens");
  Random random(seed, "dictionary", number);
  value_seed_ = random.next();
  for (auto& round : rounds_)
    for (std::int16_t& shift : round) shift = static_cast<std::int16_t>(random.below(kHalf));
  for (std::int64_t& asked : asked_) asked = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(records_)));
}

// A permutation of all strings, so that no two records have the same key: a Feistel network of halves that are added to.
std::int64_t Dictionary::key_of(std::int64_t record) const {
  std::int64_t left = record / kHalf, right = record % kHalf;
  for (const auto& round : rounds_) {
    const std::int64_t next = (left + round[static_cast<std::size_t>(right)]) % kHalf;
    left = right;
    right = next;
  }
  return left * kHalf + right;
}

std::int64_t Dictionary::value_of(std::int64_t record) const {
  return static_cast<std::int64_t>(Random(value_seed_, "value", static_cast<std::uint64_t>(record)).below(kStrings));
}

Dictionary::Record Dictionary::record_of(std::int64_t record, std::int64_t mark) const {
  Record tokens;
  const auto spell = [&](std::int64_t string, std::size_t at) {
    for (std::int64_t i = kString; i-- > 0; string /= kSymbols) tokens[at + static_cast<std::size_t>(i)] = kFirstSymbol + string % kSymbols;
  };
  tokens[0] = mark;
  spell(key_of(record), 1);
  tokens[1 + kString] = kValue;
  spell(value_of(record), 2 + kString);
  return tokens;
}

void Dictionary::copy(std::int64_t begin, std::int64_t end, std::int64_t* out) const {
  for (std::int64_t at = begin; at < end;) {
    const bool is_query = at >= first_query();
    const std::int64_t origin = is_query ? first_query() : 0, stop = is_query ? end : std::min(end, first_query());
    const std::int64_t number = (at - origin) / kRecord, from = (at - origin) % kRecord, count = std::min(kRecord - from, stop - at);
    const Record record = is_query ? record_of(asked_[static_cast<std::size_t>(number)], kQuery) : record_of(number, kKey);
    out = std::copy_n(record.begin() + from, count, out);
    at += count;
  }
}

std::int64_t Dictionary::place_in_value(std::int64_t position) const {
  const std::int64_t at = position - first_query(), place = at % kRecord - (2 + kString);
  return at >= 0 && at < kQueries * kRecord && place >= 0 ? place : -1;
}

}  // namespace uio
