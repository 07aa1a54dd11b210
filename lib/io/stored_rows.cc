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

void StoredRows::copy_content(std::uint64_t frame, std::uint64_t from, std::span<std::byte> to) const {
  const std::byte* const begin = file_.bytes().data() + frame;
  while (!to.empty()) {
    const std::uint64_t piece = from / kStoredPiece, some = std::min<std::uint64_t>(to.size(), kStoredPiece - from % kStoredPiece);
    std::memcpy(to.data(), begin + kStoredBegin + piece * kStoredBetween + from, some);
    to = to.subspan(some);
    from += some;
  }
}

void StoredRows::copy(Side side, std::int64_t layer, std::int64_t head, std::int64_t begin, std::int64_t count, std::span<std::byte> items) const {
  const std::uint64_t row = item_bytes(shape_.dtype) * shape_.head_size;
  auto memory = static_cast<std::size_t>(std::ranges::upper_bound(starts_, begin) - starts_.begin());
  held_.read(file_, items.size());
  for (; count > 0; ++memory) {
    const Layers& kind = kinds_of_rows_[kinds_[memory]];
    const std::int64_t first = starts_[memory] - kind.rows, some = std::min(count, starts_[memory] - begin);
    const StoredLayer& places = kind.layers[static_cast<std::size_t>(layer)];
    const StoredLayer::Place& place = side == Side::kKeys ? places.keys : places.values;
    const std::uint64_t from = place.within + (static_cast<std::uint64_t>(head) * kind.rows + static_cast<std::uint64_t>(begin - first)) * row;
    copy_content(places_[memory] + place.frame, from, items.first(static_cast<std::size_t>(some) * row));
    items = items.subspan(static_cast<std::size_t>(some) * row);
    begin += some;
    count -= some;
  }
}

}  // namespace uio
