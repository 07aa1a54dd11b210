// Tokens that are found in text as they stand, before anything else is done to it.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace uio {

// Immutable once all are added; safe to share between threads.
class AddedTokens {
 public:
  // Returned by a search for a token that stays text.
  static constexpr std::int32_t kText = -1;

  // `content` is not empty and not there yet (false otherwise: nothing is added). `id`: kText for one that is found but
  // stays text, as special tokens do.
  bool add(std::string_view content, std::int32_t id);
  bool empty() const { return nodes_.empty(); }

  // Parts `text`: calls visit(begin, end, id) for every token found, the leftmost first and of those the longest, and for
  // the stretches in between with kText. Time: the text's length times that of the longest token.
  using Visit = std::function<void(std::size_t begin, std::size_t end, std::int32_t id)>;
  void part(std::string_view text, const Visit& visit) const;

  // The id of the token whose content is `content`, or kText.
  std::int32_t id_of(std::string_view content) const;

  // False if a token could reach over a place between characters a and b.
  bool may_part(char32_t a, char32_t b) const { return !pairs_.contains(static_cast<std::uint64_t>(a) << 32 | b); }

 private:
  static constexpr std::int32_t kNothing = -2;

  std::vector<std::int32_t> nodes_;                            // of a trie over bytes: what ends there
  std::unordered_map<std::uint64_t, std::uint32_t> children_;  // node << 8 | byte
  std::unordered_set<std::uint64_t> pairs_;                    // a << 32 | b: neighbours within a token
  bool begins_[256] = {};
};

}  // namespace uio
