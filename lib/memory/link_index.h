// The index hnsw (arXiv 1603.09320): keys linked to near keys, on levels that get sparser; a search walks from key to key.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "io/key_index_file.h"
#include "memory/key_index.h"

namespace uio {

// Only links are kept: the keys themselves are read from the blob. A walk is bounded by the number of keys, whatever the links say.
class LinkIndex : public KeyIndex {
 public:
  // Throws Error{kData} where its arrays contradict each other.
  LinkIndex(std::shared_ptr<const KeyIndexFile> file, std::int64_t probe);
  kernels::Found find(std::int64_t layer, const at::Tensor& queries, std::int64_t groups, const kernels::FarRows& rows, std::int64_t begin, std::int64_t count) const override;

 private:
  struct Head {
    std::span<const std::int32_t> links;    // of each key those of the lowest level, then of each level above that it is on; −1: none
    std::span<const std::uint64_t> starts;  // [rows + 1]: where the links of each key begin
    std::int64_t entry;                     // the key where walks begin
  };
  class Walk;
  Head read_head(std::uint32_t layer, std::uint32_t head) const;
  // The links of a key on a level, 0 the lowest; none where it is not on it.
  std::span<const std::int32_t> links_of(const Head& head, std::int64_t key, std::int64_t level) const;

  std::shared_ptr<const KeyIndexFile> file_;
  std::int64_t rows_, links_, probe_;
  std::vector<Head> heads_;  // layers · heads
};

}  // namespace uio
