// Indexes of the keys of a blob: which of them may be the nearest of a query, without a look at all of them (uio-index(5)).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "io/stored_rows.h"
#include "kernels/far_search.h"

namespace uio {

class KeyIndex {
 public:
  virtual ~KeyIndex() = default;
  // Among the rows of the blob, which are those of `rows` from `begin` on, the nearest that it knows of for each query, scored by the keys themselves:
  // memory layer number `layer`, queries [1, H, T, d] whose heads share `groups` KV heads. Any thread.
  virtual kernels::Found find(std::int64_t layer, const at::Tensor& queries, std::int64_t groups, const kernels::FarRows& rows, std::int64_t begin, std::int64_t count) const = 0;
};

// The index file of a blob: its name and `.index`.
std::string key_index_path(const std::string& blob);

// Maps the index of the blob whose fingerprint is `blob` and checks every byte of it. `probe`: how much of it a search looks at, lists or for hnsw keys at
// once; 0: its own choice. `rows` must outlive it. Throws Error{kUsage} saying how to make one where there is none, Error{kData} for a damaged one,
// Error{kMismatch} for that of another blob or a version that is not known.
std::unique_ptr<KeyIndex> open_key_index(const std::string& path, const std::string& blob, const StoredRows& rows, std::int64_t probe);

}  // namespace uio
