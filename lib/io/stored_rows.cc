#include "io/stored_rows.h"

#include <algorithm>
#include <cstring>

namespace uio {

bool StoredRows::add(const Memory& header, std::span<const std::byte> payload) {
  const auto layers = stored_layers(header, payload);
  if (!layers) return false;
  if (places_.empty()) shape_ = header;
  else if (header.layers != shape_.layers || header.kv_heads != shape_.kv_heads || header.head_size != shape_.head_size || header.dtype != shape_.dtype) return false;
  auto kind = std::ranges::find(kinds_of_rows_, header.memory_length, &Layers::rows);
  if (kind == kinds_of_rows_.end()) kind = kinds_of_rows_.insert(kind, {header.memory_length, *layers});
  kinds_.push_back(static_cast<std::uint32_t>(kind - kinds_of_rows_.begin()));
  places_.push_back(static_cast<std::uint64_t>(payload.data() - file_.bytes().data()));
  starts_.push_back(count() + header.memory_length);
  return true;
}

std::size_t StoredRows::memory_of(std::int64_t row) const {
  // Most memories have as many rows as the first.
  const auto guess = static_cast<std::size_t>(row / std::max<std::int64_t>(1, starts_.front()));
  if (guess < starts_.size() && row < starts_[guess] && (guess == 0 || row >= starts_[guess - 1])) return guess;
  return static_cast<std::size_t>(std::ranges::upper_bound(starts_, row) - starts_.begin());
}

StoredRows::Address StoredRows::address_of(std::size_t memory, Side side, std::int64_t layer, std::int64_t head, std::int64_t row) const {
  const Layers& kind = kinds_of_rows_[kinds_[memory]];
  const std::int64_t first = starts_[memory] - kind.rows;
  const StoredLayer& places = kind.layers[static_cast<std::size_t>(layer)];
  const StoredLayer::Place& place = side == Side::kKeys ? places.keys : places.values;
  const std::uint64_t bytes = item_bytes(shape_.dtype) * shape_.head_size;
  return {places_[memory] + place.frame, place.within + (static_cast<std::uint64_t>(head) * kind.rows + static_cast<std::uint64_t>(row - first)) * bytes};
}

const std::byte* StoredRows::content(Address at) const {
  return file_.bytes().data() + at.frame + kStoredBegin + at.from / kStoredPiece * kStoredBetween + at.from;
}

void StoredRows::copy_content(Address at, std::span<std::byte> to) const {
  while (!to.empty()) {
    const std::uint64_t some = std::min<std::uint64_t>(to.size(), kStoredPiece - at.from % kStoredPiece);
    std::memcpy(to.data(), content(at), some);
    to = to.subspan(some);
    at.from += some;
  }
}

void StoredRows::copy(Side side, std::int64_t layer, std::int64_t head, std::int64_t begin, std::int64_t count, std::span<std::byte> items) const {
  const std::uint64_t row = item_bytes(shape_.dtype) * shape_.head_size;
  held_.read(file_, items.size());
  for (std::size_t memory = memory_of(begin); count > 0; ++memory) {
    const std::int64_t some = std::min(count, starts_[memory] - begin);
    copy_content(address_of(memory, side, layer, head, begin), items.first(static_cast<std::size_t>(some) * row));
    items = items.subspan(static_cast<std::size_t>(some) * row);
    begin += some;
    count -= some;
  }
}

void StoredRows::copy_named(Side side, std::int64_t layer, std::int64_t head, std::span<const std::int64_t> rows, std::int64_t first, std::span<std::byte> items) const {
  constexpr std::size_t kAtOnce = 32, kLine = 64;
  const std::uint64_t row = item_bytes(shape_.dtype) * shape_.head_size;
  for (; !rows.empty(); rows = rows.subspan(std::min(rows.size(), kAtOnce))) {
    const std::span<const std::int64_t> some = rows.first(std::min(rows.size(), kAtOnce));
    Address at[kAtOnce];
    for (std::size_t i = 0; i < some.size(); ++i) {
      held_.read(file_, row);
      at[i] = address_of(memory_of(some[i] - first), side, layer, head, some[i] - first);
      for (std::uint64_t byte = 0; byte < row; byte += kLine) __builtin_prefetch(content({at[i].frame, at[i].from + byte}));
    }
    for (std::size_t i = 0; i < some.size(); ++i, items = items.subspan(row)) copy_content(at[i], items.first(row));
  }
}

}  // namespace uio
