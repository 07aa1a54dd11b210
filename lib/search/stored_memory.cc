#include "search/stored_memory.h"

#include <span>
#include <utility>
#include <variant>

#include "base/hash.h"

namespace uio {
namespace {

constexpr std::uint64_t kReleaseEvery = std::uint64_t{1} << 26;  // bytes that were read through the map

}  // namespace

std::shared_ptr<StoredMemory> read_stored_memory(const std::string& path, const std::function<void(RecordReader&)>& visit) {
  auto stored = std::make_shared<StoredMemory>(MappedFile(path));
  const std::span<const std::byte> bytes = stored->rows.bytes();
  // What is checked are the bytes that will be used: the name may be another file's by now.
  const auto source = memory_source(bytes, path);
  RecordReader reader(*source);
  Hasher hasher;
  std::uint64_t released = 0;
  while (const auto event = reader.next_event()) {
    const std::uint64_t checksum = reader.frame_checksum(), end = reader.frame_offset() + reader.frame_bytes();
    hasher.add(std::as_bytes(std::span(&checksum, 1)));
    if (end - released > kReleaseEvery) stored->rows.release(), released = end;
    if (event != StreamEvent::kRecord) continue;
    visit(reader);
    const std::size_t size = reader.raw().payload.size();
    if (reader.raw().is_memory && !stored->rows.add(std::get<Memory>(reader.header()), bytes.subspan(end - size, size))) return nullptr;
  }
  stored->fingerprint = hasher.hex();
  stored->rows.release();
  return stored;
}

}  // namespace uio
