// Where a text may be cut so that its tokens do not change.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_set>

#include "text/sentencepiece_model.h"

namespace uio {

// Two characters a|b may be parted when nothing that decides tokens can reach across:
//  - no piece of the vocabulary contains a followed by b (a space counted as U+2581): BPE cannot merge, and Viterbi cannot
//    step, over the cut, and no user-defined symbol can match over it;
//  - no normalisation rule has a followed by b, ends with a or begins with b: the neighbours of the cut stand for themselves;
//  - a is no space where extra spaces are removed: the run of spaces stays on one side.
// The right side then begins with the very space (or character) that it has in the whole.
class SplitRule {
 public:
  SplitRule(const SentencePieceModel& model, const std::string& subject);

  // The two sides have the tokens of the whole, but for a run of unknown characters that becomes two unknown tokens.
  bool may_part(char32_t a, char32_t b) const { return flags(a, b) & kMayPart; }
  // The two sides have exactly the tokens of the whole.
  bool is_exact(char32_t a, char32_t b) const { return flags(a, b) & kIsExact; }

 private:
  static constexpr std::uint8_t kMayPart = 1, kIsExact = 2;
  static constexpr std::size_t kAscii = 128;

  std::uint8_t flags(char32_t a, char32_t b) const { return a < kAscii && b < kAscii ? ascii_[a * kAscii + b] : compute(a, b); }
  std::uint8_t compute(char32_t a, char32_t b) const;
  void add_rule(std::string_view key, std::string_view replacement);

  bool never_ = false;  // see the constructor
  bool removes_spaces_ = false;
  bool merges_unknown_ = false;
  std::unordered_set<std::uint64_t> pairs_;     // a << 32 | b inside pieces and inside rules
  std::unordered_set<char32_t> known_;          // characters that are pieces themselves
  std::unordered_set<char32_t> begins_, ends_;  // of rules
  std::array<std::uint8_t, kAscii * kAscii> ascii_{};
};

}  // namespace uio
