// Documents of the dictionary lookup (arXiv 2307.03170, 4.2 and appendix E): definitions, and at the end queries about some of them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "memory/token_sequence.h"

namespace uio {

// Of 64 tokens: 1 `<k>`, 2 `<v>`, 3 `<q>`, 4 to 63 the symbols that keys and values are made of; 0 is not used. A definition is `<k>`, 4 symbols, `<v>`,
// 4 symbols; a query says `<q>` for `<k>`. The last 256 tokens are 25 queries and the beginning of another, all before are definitions, of which the
// last may be cut short too. Keys are unique. Nothing of a document is kept: any part of it is made when it is asked for.
class Dictionary : public TokenSequence {
 public:
  static constexpr std::int64_t kVocabulary = 64, kSymbols = 60, kFirstSymbol = 4;
  static constexpr std::int32_t kKey = 1, kValue = 2, kQuery = 3;
  static constexpr std::int64_t kString = 4, kRecord = 2 + 2 * kString;                        // tokens of a key or value, of a record
  static constexpr std::int64_t kQueryTokens = 256, kQueries = kQueryTokens / kRecord;
  static constexpr std::int64_t kStrings = kSymbols * kSymbols * kSymbols * kSymbols;          // keys that there are
  static constexpr std::int64_t kLeast = kQueryTokens + kRecord, kMost = kQueryTokens + kStrings * kRecord;  // tokens of a document

  // A document of `length` tokens, from kLeast to kMost. The same seed and number give the same definitions whatever the length.
  Dictionary(std::int64_t length, std::uint64_t seed, std::uint64_t number);

  std::int64_t size() const override { return length_; }
  void copy(std::int64_t begin, std::int64_t end, std::int64_t* out) const override;

  std::int64_t records() const { return records_; }                      // whole definitions
  std::int64_t first_query() const { return length_ - kQueryTokens; }    // token
  // Which symbol of a value the token at `position` is, of the values that are asked for; -1: it is none of them.
  std::int64_t place_in_value(std::int64_t position) const;

 private:
  using Record = std::array<std::int64_t, kRecord>;
  static constexpr std::int64_t kHalf = kSymbols * kSymbols, kRounds = 4;
  std::int64_t key_of(std::int64_t record) const;
  std::int64_t value_of(std::int64_t record) const;
  Record record_of(std::int64_t record, std::int64_t mark) const;

  std::int64_t length_, records_;
  std::uint64_t value_seed_;
  std::array<std::array<std::int16_t, kHalf>, kRounds> rounds_;
  std::array<std::int64_t, kQueries + 1> asked_;
};

}  // namespace uio
