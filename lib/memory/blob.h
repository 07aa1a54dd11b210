// Blobs as the decoder takes them: read and checked once, then shared by all that go on from them.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "io/record.h"
#include "memory/setup.h"

namespace uio {

struct Blob {
  std::vector<Record> records;       // in order; the bytes of memories' tensors only where they were asked for
  std::vector<KeysValues> memories;  // of the memories among them, in order: [1, N, G, M, d], on the model's device
  Provenance provenance;
  std::int64_t positions = 0;  // that memories and raw tokens take
  std::uint64_t bytes = 0;     // of `memories`
};

// All of a file (`-`: standard input), before anything of it is used: a blob that turns out to be cut must not have spoken.
// Throws what reading throws, and Error{kMismatch} for what belongs to another model, tokenizer or adapter.
std::shared_ptr<const Blob> read_blob(const std::string& path, const Ready& ready, bool keep_bytes);

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
