// The memories of a blob that stay in its file, and their index.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "io/stored_rows.h"
#include "io/stream.h"
#include "search/key_index.h"

namespace uio {

struct StoredMemory {
  explicit StoredMemory(MappedFile file) : rows(std::move(file)) {}
  StoredRows rows;
  std::string fingerprint;          // of the stream: a hash of the checksums of all its frames
  std::unique_ptr<KeyIndex> index;  // null: not asked for
};

// Maps the stream at `path`, which must be a regular file, and reads it to its end, so that all of it is checked; `visit` is called at each record.
// Memory is bounded by one record. Null where a memory does not lie in rows. Throws what reading throws.
std::shared_ptr<StoredMemory> read_stored_memory(const std::string& path, const std::function<void(RecordReader&)>& visit);

}  // namespace uio
