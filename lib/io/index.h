// Where the records of a stream are: an index beside the stream, made from it at any time (uio-stream(5), INDEX).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/file.h"
#include "io/record.h"

namespace uio {

struct IndexEntry {
  std::uint64_t offset = 0, length = 0;  // of the whole frame, in bytes
  std::string document;
  std::uint64_t segment = 0;
  bool is_memory = false;
};

// The entry as a JSON line, without its newline, and back. Throws Error{kData} with `subject` for another line.
std::string to_index_line(const IndexEntry& entry);
IndexEntry parse_index_line(std::string_view line, const std::string& subject);

// Reads a stream to its end and writes its index, one line a record.
void write_index(Source& stream, Sink& index);

// A stream that lies in memory or in a mapped file, for reading records where the index says. The bytes stay alive.
// Throws Error{kData} where the entry does not point to a whole record of the same document and segment.
Record read_indexed_record(std::span<const std::byte> stream, const IndexEntry& entry, const std::string& name);

}  // namespace uio
