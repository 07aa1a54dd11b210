#include "io/key_index_file.h"

#include <array>
#include <cstring>

#include "base/endian.h"
#include "base/error.h"
#include "base/hash.h"
#include "io/damage.h"
#include "io/header_map.h"
#include "io/limits.h"

namespace uio {
namespace {

// As in streams: text-mode conversions cannot leave these bytes whole.
constexpr std::array<std::byte, 8> kMagic = {std::byte{'u'},  std::byte{'i'},  std::byte{'o'},  std::byte{'x'},
                                             std::byte{'\r'}, std::byte{'\n'}, std::byte{0x1A}, std::byte{'\n'}};
constexpr std::uint32_t kVersion = 3;
constexpr std::size_t kEdge = 64;      // bytes of the head and of the tail; arrays begin at multiples of it
constexpr std::size_t kSum = kEdge - 8;  // where the checksum of what is before it stands
constexpr std::size_t kEntry = 40;     // layer, head, array, 0; place, bytes, checksum
constexpr std::uint64_t kReleaseEvery = std::uint64_t{1} << 26;

constexpr const char* kKinds[] = {"flat", "ivf", "hnsw", "sq8", "ivfpq"};

std::uint64_t up_to_edge(std::uint64_t at) { return (at + kEdge - 1) / kEdge * kEdge; }

std::array<std::byte, kEdge> with_sum(std::array<std::byte, kEdge> edge) {
  store_le(edge.data() + kSum, checksum(std::span(edge).first(kSum)));
  return edge;
}
bool has_sum(std::span<const std::byte> edge) { return load_le<std::uint64_t>(edge.data() + kSum) == checksum(edge.first(kSum)); }

std::vector<std::byte> map_of(const KeyIndexHeader& header) {
  HeaderMapWriter map(9);
  map.add_word("kind", header.kind);
  map.add_fingerprint("blob", header.blob);
  map.add_natural("rows", header.rows);
  map.add_natural("layers", header.layers);
  map.add_natural("kv_heads", header.heads);
  map.add_natural("head_size", header.head_size);
  map.add_natural("lists", header.lists);
  map.add_natural("parts", header.parts);
  map.add_natural("links", header.links);
  return map.take();
}

KeyIndexHeader header_of(std::span<const std::byte> bytes) {
  HeaderMapReader map(bytes);
  KeyIndexHeader header;
  header.kind = map.word("kind");
  header.blob = map.fingerprint("blob");
  const auto size = [&](const char* name, std::uint64_t least, std::uint64_t most) { return static_cast<std::uint32_t>(map.natural(name, least, most)); };
  header.rows = map.natural("rows", 1, (std::uint64_t{1} << 32) - 2);  // numbers of rows are kept in 32 bits
  header.layers = size("layers", 1, kLargestSize);
  header.heads = size("kv_heads", 1, kLargestSize);
  header.head_size = size("head_size", 1, kLargestSize);
  header.lists = size("lists", 0, 1 << 24);
  header.parts = size("parts", 0, kLargestSize);
  header.links = size("links", 0, 1024);
  map.finish();
  return header;
}

}  // namespace

const char* name_of(KeyArray array) {
  constexpr const char* kNames[] = {"", "centroids", "starts", "ids", "codes", "scales", "books", "links"};
  const auto number = static_cast<std::size_t>(array);
  return number < std::size(kNames) ? kNames[number] : "unknown";
}

KeyIndexWriter::KeyIndexWriter(Sink& sink, KeyIndexHeader header) : sink_(sink), header_(std::move(header)) {
  std::array<std::byte, kEdge> head{};
  std::ranges::copy(kMagic, head.begin());
  store_le(head.data() + kMagic.size(), kVersion);
  write(with_sum(head));
}

void KeyIndexWriter::write(std::span<const std::byte> bytes) {
  sink_.write(bytes);
  at_ += bytes.size();
}

void KeyIndexWriter::pad() {
  constexpr std::array<std::byte, kEdge> kNothing{};
  write(std::span(kNothing).first(up_to_edge(at_) - at_));
}

void KeyIndexWriter::add_bytes(std::uint32_t layer, std::uint32_t head, KeyArray array, std::span<const std::byte> bytes) {
  std::array<std::byte, kEntry> entry{};
  store_le(entry.data(), layer);
  store_le(entry.data() + 4, head);
  store_le(entry.data() + 8, static_cast<std::uint32_t>(array));
  store_le(entry.data() + 16, at_);
  store_le(entry.data() + 24, static_cast<std::uint64_t>(bytes.size()));
  store_le(entry.data() + 32, checksum(bytes));
  table_.insert(table_.end(), entry.begin(), entry.end());
  write(bytes);
  pad();
}

void KeyIndexWriter::finish() {
  const std::vector<std::byte> map = map_of(header_);
  std::array<std::byte, kEdge> tail{};
  store_le(tail.data(), at_);
  store_le(tail.data() + 8, static_cast<std::uint64_t>(map.size()));
  store_le(tail.data() + 16, static_cast<std::uint64_t>(table_.size()));
  store_le(tail.data() + 24, checksum(map));
  store_le(tail.data() + 32, checksum(table_));
  write(map);
  write(table_);
  pad();
  store_le(tail.data() + 40, at_ + kEdge);
  write(with_sum(tail));
}

KeyIndexFile::KeyIndexFile(const std::string& path) : file_(path) {
  const std::span<const std::byte> bytes = file_.bytes();
  if (bytes.size() < kMagic.size() || !std::ranges::equal(bytes.first(kMagic.size()), kMagic)) fail("is not an index of keys");
  if (bytes.size() < 2 * kEdge) fail("ends early");
  if (!has_sum(bytes.first(kEdge))) fail("is damaged (the checksum of its head differs)");
  if (const auto version = load_le<std::uint32_t>(bytes.data() + kMagic.size()); version != kVersion)
    throw Error(ErrorKind::kMismatch, "cannot read index", path, "it is of version " + std::to_string(version) + ", this program knows " + std::to_string(kVersion));
  const std::span<const std::byte> tail = bytes.last(kEdge);
  if (!has_sum(tail) || load_le<std::uint64_t>(tail.data() + 40) != bytes.size()) fail("ends early, or the checksum of its end differs");
  const auto number = [&](std::size_t at) { return load_le<std::uint64_t>(tail.data() + at); };
  const std::uint64_t place = number(0), map_bytes = number(8), table_bytes = number(16), room = bytes.size() - kEdge;
  if (place < kEdge || place > room || map_bytes > kLongestMap || map_bytes > room - place || table_bytes > room - place - map_bytes ||
      up_to_edge(place + map_bytes + table_bytes) != room || table_bytes % kEntry != 0)
    fail("has a table that does not fit it");
  const std::span<const std::byte> map = bytes.subspan(place, map_bytes), table = bytes.subspan(place + map_bytes, table_bytes);
  if (checksum(map) != number(24) || checksum(table) != number(32)) fail("is damaged (the checksum of its table differs)");
  for (const std::byte byte : bytes.subspan(place + map_bytes + table_bytes, room - place - map_bytes - table_bytes))
    if (byte != std::byte{0}) fail("is damaged (bytes between its parts are not 0)");
  try {
    header_ = header_of(map);
  } catch (const Damage& damage) {
    throw Error(damage.kind, "cannot read index", path, "it " + damage.reason);
  }
  if (std::ranges::find(kKinds, header_.kind) == std::end(kKinds))
    throw Error(ErrorKind::kMismatch, "cannot read index", path, "it is of kind " + header_.kind + ", this program knows flat, ivf, hnsw, sq8, ivfpq");
  read_table(table, place);
  file_.release();
}

// Arrays follow each other without a gap but the bytes up to the next edge, which are 0: no byte of the file goes unchecked.
void KeyIndexFile::read_table(std::span<const std::byte> table, std::uint64_t end) {
  const std::span<const std::byte> bytes = file_.bytes();
  std::uint64_t at = kEdge, released = 0;
  for (; !table.empty(); table = table.subspan(kEntry)) {
    const auto word = [&](std::size_t from) { return load_le<std::uint32_t>(table.data() + from); };
    const auto number = [&](std::size_t from) { return load_le<std::uint64_t>(table.data() + from); };
    const std::uint64_t size = number(24);
    if (number(16) != at || size > end - at || up_to_edge(at + size) > end || word(12) != 0) fail("has an array that does not fit it");
    const std::span<const std::byte> array = bytes.subspan(at, size);
    Checksum sum;
    for (std::uint64_t done = 0; done < size;) {
      const std::uint64_t some = std::min(size - done, kReleaseEvery);
      sum.add(array.subspan(done, some));
      done += some;
      released += some;
      if (released >= kReleaseEvery) file_.release(), released = 0;
    }
    const auto what = static_cast<KeyArray>(word(8));
    if (sum.value() != number(32))
      fail("is damaged (the checksum of " + std::string(name_of(what)) + " of layer " + std::to_string(word(0)) + ", head " + std::to_string(word(4)) + " differs)");
    if (!arrays_.emplace(std::tuple(word(0), word(4), what), array).second) fail("has an array twice");
    at += size;
    for (; at % kEdge != 0; ++at)
      if (bytes[at] != std::byte{0}) fail("is damaged (bytes between its parts are not 0)");
  }
  if (at != end) fail("has bytes that belong to no array");
}

std::span<const std::uint32_t> KeyIndexFile::ids(std::uint32_t layer, std::uint32_t head) const {
  const auto ids = array<std::uint32_t>(layer, head, KeyArray::kIds, header_.rows);
  std::vector<bool> seen(header_.rows);
  for (const std::uint32_t id : ids) {
    if (id >= header_.rows || seen[id]) fail("names a key that is not one, or twice");  // a candidate that came twice would count twice
    seen[id] = true;
  }
  return ids;
}

std::span<const std::byte> KeyIndexFile::find(std::uint32_t layer, std::uint32_t head, KeyArray array, std::uint64_t count, std::size_t item) const {
  const std::string name = std::string(name_of(array)) + " of layer " + std::to_string(layer) + ", head " + std::to_string(head);
  const auto found = arrays_.find({layer, head, array});
  if (found == arrays_.end()) fail("has no " + name);
  const std::uint64_t size = found->second.size();
  if (count > size / item || count * item != size)
    fail("has " + std::to_string(size) + " bytes of " + name + ", expected " + std::to_string(count * item));
  return found->second;
}

void KeyIndexFile::fail(const std::string& reason) const {
  throw Error(ErrorKind::kData, "cannot read index", file_.path(), "it " + reason, "make it again with uio-compress --index");
}

}  // namespace uio
