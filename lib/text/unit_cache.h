// Tokens of units of text already seen.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/tokenizer.h"

namespace uio {

// Emptied when full: common words come back at once. Not for several threads.
class UnitCache {
 public:
  // The tokens of the unit: those that are kept, else those that make() returns, kept from now on unless the unit is long. Good until
  // the next call.
  template <typename Make>
  std::span<const Token> find_or_make(std::string_view unit, const Make& make) {
    const bool is_kept = unit.size() <= kMaxUnitBytes;
    if (is_kept) {
      if (const std::span<const Token> found = find(unit); !found.empty()) return found;
    }
    made_ = make();
    if (is_kept) insert(unit);
    return made_;
  }

 private:
  static constexpr std::size_t kMaxUnitBytes = 48;

  std::span<const Token> find(std::string_view unit) const {
    const auto entry = entries_.find(unit);
    if (entry == entries_.end()) return {};
    return std::span(tokens_).subspan(entry->second.first, entry->second.second);
  }
  void insert(std::string_view unit) {
    if (entries_.size() >= kMaxUnits) {
      entries_.clear();
      tokens_.clear();
    }
    entries_.emplace(unit, std::pair(tokens_.size(), made_.size()));
    tokens_.insert(tokens_.end(), made_.begin(), made_.end());
  }

  static constexpr std::size_t kMaxUnits = 1u << 16;
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, std::pair<std::size_t, std::size_t>, Hash, std::equal_to<>> entries_;
  std::vector<Token> tokens_;  // of all entries
  std::vector<Token> made_;    // of the latest unit that was made
};

}  // namespace uio
