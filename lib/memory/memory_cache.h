// Memories kept from run to run (io/cache.h), found by everything that decides their bytes.
#pragma once

#include <cstdint>
#include <string>

#include "io/cache.h"
#include "io/record.h"
#include "model/model.h"

namespace uio {

// Where a segment stood among those that were compressed at once: very small products differ in their last bits with their shape.
struct PlaceInBatch {
  std::size_t number = 0, count = 1;
};

// What computes: build, LibTorch, kind of processor, numbers, kernels and number of threads (which no test has seen to matter, and MKL does
// not promise not to).
std::string describe_arithmetic(const Model& model);

// The name of a memory's tensors: SHA-256 over all that their bytes depend on. That is every field of `header` (fingerprints, hash of the
// token ids, method, form, precision, shapes, as uio-memory(5) lists them) but where the segment lies, and `arithmetic`.
std::string memory_key(Memory header, const std::string& arithmetic, PlaceInBatch place);

// Whether the cache in `directory` keeps the tensors of such a memory, without touching anything.
bool holds_memory(const std::string& directory, const Memory& header, const std::string& key);

class MemoryCache {
 public:
  // Throws what DiskCache throws.
  MemoryCache(const std::string& directory, std::uint64_t most_bytes, Host& host) : disk_(directory, most_bytes, host) {}
  // Fills the tensors of a memory that has all else, and the key memory_key(); false where they are not kept.
  bool fill(Memory& memory, const std::string& key);
  void store(const Memory& memory, const std::string& key);

 private:
  DiskCache disk_;
};

}  // namespace uio
