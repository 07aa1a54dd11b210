// Blobs as the decoder takes them: read and checked once, then shared by all that go on from them.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "io/record.h"
#include "memory/setup.h"
#include "search/stored_memory.h"

namespace uio {

struct Blob {
  std::vector<Record> records;       // in order; the bytes of memories' tensors only where they were asked for
  std::vector<KeysValues> memories;  // of the memories among them, in order: [1, N, G, M, d], on the model's device; none where they stay in the file
  std::shared_ptr<const StoredMemory> stored;  // null: they do not
  Provenance provenance;
  std::int64_t positions = 0;  // that memories and raw tokens take
  std::uint64_t bytes = 0;     // of `memories`
};

// All of a file (`-`: standard input), before anything of it is used: a blob that turns out to be cut must not have spoken.
// Memories stay in the file, with an index where the method's settings ask for it, if the method searches them, the model is on the CPU, the bytes of
// tensors are not asked for and the file is a regular one in which they lie as rows (level 0); memory is then bounded by one record.
// Throws what reading throws, Error{kMismatch} for what belongs to another model, tokenizer or adapter, and Error{kUsage} where an index is asked for and
// memories cannot stay in the file.
std::shared_ptr<const Blob> read_blob(const std::string& path, const Ready& ready, bool keep_bytes);

// The parts of a blob in order: each memory in memory, as many rows that stay in the file, each raw segment.
void for_each_memory(const Blob& blob, const std::function<void(const KeysValues&)>& visit_memory,
                     const std::function<void(const std::shared_ptr<const StoredMemory>&, std::int64_t rows)>& visit_stored,
                     const std::function<void(const Segment&)>& visit_segment);

// Blobs by their files, read once for all requests that name them and again when a file has changed. Holds the latest ones,
// up to a number of bytes; what requests at work hold counts on top. `ready` must outlive it.
class BlobCache {
 public:
  explicit BlobCache(const Ready& ready, std::uint64_t most_bytes = std::uint64_t{1} << 30) : ready_(ready), most_bytes_(most_bytes) {}
  std::shared_ptr<const Blob> get(const std::string& path);

 private:
  struct Entry {
    std::string path, identity;
    std::shared_ptr<const Blob> blob;
  };
  const Ready& ready_;
  std::uint64_t most_bytes_;
  std::list<Entry> entries_;  // the latest first
};

}  // namespace uio
