#include "text/byte_pairs.h"

#include <algorithm>
#include <bit>
#include <queue>

namespace uio {
namespace {

constexpr std::size_t kShort = 32;  // bytes up to which looking at every pair beats a queue

}  // namespace

BytePairs::BytePairs(const std::array<std::int32_t, 256>& byte_ids, const std::vector<BytePairMerge>& merges)
    : byte_ids_(byte_ids), table_(std::bit_ceil(2 * merges.size() + 2)), shift_(64 - std::countr_zero(table_.size())) {
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::uint64_t parts = parts_of(merges[rank].left, merges[rank].right);
    std::size_t at = place_of(parts);
    while (table_[at].parts != kNoParts) at = (at + 1) % table_.size();
    table_[at] = {parts, static_cast<std::uint32_t>(rank), merges[rank].result};
  }
}

BytePairs::Entry BytePairs::find(std::int32_t left, std::int32_t right) const {
  const std::uint64_t parts = parts_of(left, right);
  for (std::size_t at = place_of(parts); table_[at].parts != kNoParts; at = (at + 1) & (table_.size() - 1)) {
    if (table_[at].parts == parts) return table_[at];
  }
  return {};
}

void BytePairs::encode(std::string_view bytes, std::vector<std::int32_t>& ids) const {
  if (bytes.size() <= kShort) {
    encode_short(bytes, ids);
  } else {
    encode_long(bytes, ids);
  }
}

void BytePairs::encode_short(std::string_view bytes, std::vector<std::int32_t>& ids) const {
  std::array<std::int32_t, kShort> tokens;
  std::array<Entry, kShort> merges;  // of each token with the one behind it
  std::size_t count = bytes.size();
  for (std::size_t i = 0; i < count; ++i) tokens[i] = byte_ids_[static_cast<unsigned char>(bytes[i])];
  for (std::size_t i = 0; i + 1 < count; ++i) merges[i] = find(tokens[i], tokens[i + 1]);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == kNoRank) break;
    tokens[best] = merges[best].result;
    --count;
    for (std::size_t i = best + 1; i < count; ++i) {
      tokens[i] = tokens[i + 1];
      merges[i] = merges[i + 1];
    }
    if (best + 1 < count) merges[best] = find(tokens[best], tokens[best + 1]);
    if (best > 0) merges[best - 1] = find(tokens[best - 1], tokens[best]);
  }
  ids.insert(ids.end(), tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(count));
}

void BytePairs::encode_long(std::string_view bytes, std::vector<std::int32_t>& ids) const {
  struct Symbol {
    std::int32_t id;  // -1: merged into the one before it
    std::uint32_t previous, next;
  };
  struct Candidate {
    std::uint32_t rank, at;
    std::int32_t left, right, result;
    bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
  };
  constexpr std::uint32_t kNone = ~0u;
  const std::uint32_t count = static_cast<std::uint32_t>(bytes.size());
  std::vector<Symbol> symbols(count);
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](std::uint32_t at) {
    const std::uint32_t next = symbols[at].next;
    if (next == kNone) return;
    const Entry merge = find(symbols[at].id, symbols[next].id);
    if (merge.rank != kNoRank) queue.push({merge.rank, at, symbols[at].id, symbols[next].id, merge.result});
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    symbols[i] = {byte_ids_[static_cast<unsigned char>(bytes[i])], i == 0 ? kNone : i - 1, i + 1 == count ? kNone : i + 1};
  }
  for (std::uint32_t i = 0; i < count; ++i) consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.at];
    if (left.id != best.left || left.next == kNone || symbols[left.next].id != best.right) continue;  // merged meanwhile
    Symbol& right = symbols[left.next];
    left.id = best.result;
    left.next = right.next;
    right.id = -1;
    if (left.next != kNone) symbols[left.next].previous = best.at;
    consider(best.at);
    if (left.previous != kNone) consider(left.previous);
  }
  for (std::uint32_t at = 0; at != kNone; at = symbols[at].next) ids.push_back(symbols[at].id);
}

}  // namespace uio
