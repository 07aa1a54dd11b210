// Byte-pair encoding: bytes become tokens by the merges of a vocabulary, the earliest first.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace uio {

// Two neighbouring tokens become one. The place in the list is the merge's rank.
struct BytePairMerge {
  std::int32_t left, right, result;
};

// Immutable; safe to share between threads.
class BytePairs {
 public:
  // `byte_ids`: the token of each byte. Of the merges no two have the same parts.
  BytePairs(const std::array<std::int32_t, 256>& byte_ids, const std::vector<BytePairMerge>& merges);

  // The ids of `bytes`: while any neighbours can be merged, those of the lowest rank are, the leftmost first. Appends to
  // `ids`. Time n log n.
  void encode(std::string_view bytes, std::vector<std::int32_t>& ids) const;

 private:
  struct Entry {
    std::uint64_t parts = kNoParts;
    std::uint32_t rank = kNoRank;
    std::int32_t result = -1;
  };
  static constexpr std::uint64_t kNoParts = ~0ull;
  static constexpr std::uint32_t kNoRank = ~0u;

  static std::uint64_t parts_of(std::int32_t left, std::int32_t right) {
    return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
  }
  std::size_t place_of(std::uint64_t parts) const { return (parts * 0x9E3779B97F4A7C15ull) >> shift_; }
  // The merge of two tokens; rank kNoRank if there is none.
  Entry find(std::int32_t left, std::int32_t right) const;
  void encode_short(std::string_view bytes, std::vector<std::int32_t>& ids) const;
  void encode_long(std::string_view bytes, std::vector<std::int32_t>& ids) const;

  std::array<std::int32_t, 256> byte_ids_;
  std::vector<Entry> table_;  // open addressing, at most half full
  unsigned shift_;
};

}  // namespace uio
