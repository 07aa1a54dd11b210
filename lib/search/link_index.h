// The index hnsw (arXiv 1603.09320): keys linked to near keys, on levels that get sparser; a search walks from key to key.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "io/key_index_file.h"
#include "search/key_index.h"

namespace uio {

// Only links are kept: the keys themselves are read from the blob. Queries seldom look like keys, and what they want lies in many places of the graph that are
// not linked with each other: keys that are spread evenly over all are held in memory, and a walk begins at those of them that suit a query best. It is
// bounded by the number of keys, whatever the links say.
class LinkIndex : public KeyIndex {
 public:
  // `rows` are those of its blob. Throws Error{kData} where it links to what is not a key.
  LinkIndex(std::shared_ptr<const KeyIndexFile> file, const StoredRows& rows, std::int64_t probe);
  kernels::Found find(std::int64_t layer, const at::Tensor& queries, std::int64_t groups, const kernels::FarRows& rows, std::int64_t begin, std::int64_t count) const override;

 private:
  struct Head {
    std::span<const std::int32_t> links;  // [rows, links]; −1 behind the last of a key
    std::vector<float> doors;             // [doors, d]: the keys doors_
  };
  class Walk;
  Head read_head(const StoredRows& rows, std::uint32_t layer, std::uint32_t head) const;
  std::span<const std::int32_t> links_of(const Head& head, std::int64_t key) const;

  std::shared_ptr<const KeyIndexFile> file_;
  std::int64_t rows_, size_, links_, probe_;
  std::vector<std::int64_t> doors_;  // keys where walks may begin, of every head
  std::vector<Head> heads_;  // layers · heads
};

}  // namespace uio
