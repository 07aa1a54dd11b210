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
  static constexpr std::size_t kMaxUnitBytes = 48;

  // Empty if the unit is not known; good until the next insert.
  std::span<const Token> find(std::string_view unit) const {
    const auto entry = entries_.find(unit);
    if (entry == entries_.end()) return {};
    return std::span(tokens_).subspan(entry->second.first, entry->second.second);
  }
  void insert(std::string_view unit, std::span<const Token> tokens) {
    if (entries_.size() >= kMaxUnits) {
      entries_.clear();
      tokens_.clear();
    }
    entries_.emplace(unit, std::pair(tokens_.size(), tokens.size()));
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  }

 private:
  static constexpr std::size_t kMaxUnits = 1u << 16;
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, std::pair<std::size_t, std::size_t>, Hash, std::equal_to<>> entries_;
  std::vector<Token> tokens_;
};

}  // namespace uio
