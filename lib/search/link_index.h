// The index hnsw (arXiv 1603.09320): keys linked to near keys; a search walks from key to key.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "io/key_index_file.h"
#include "search/codes.h"
#include "search/key_index.h"

namespace uio {

// The walk knows keys by their codes, which lie beside the links, in an order in which near keys are near each other: what it waits for is memory. Queries seldom
// look like keys, and what they want lies in many places of the graph that are not linked with each other: it begins at those of many keys, spread evenly over
// all, that suit a query best. It is bounded by the number of keys, whatever the links say.
class LinkIndex : public KeyIndex {
 public:
  // Throws Error{kData} where it links to what is not a key. `probe`: keys that a walk holds; 0: as many as are needed.
  LinkIndex(std::shared_ptr<const KeyIndexFile> file, std::int64_t probe);
  kernels::Found find(std::int64_t layer, const at::Tensor& queries, std::int64_t groups, const kernels::FarRows& rows, std::int64_t begin, std::int64_t count) const override;

 private:
  // Of the key at each place: which it is, its links to places, its code and the scale of that.
  struct Head {
    std::span<const std::uint32_t> ids;   // [rows]
    std::span<const std::int32_t> links;  // [rows, links]; −1 behind the last of a key
    std::span<const std::int8_t> codes;   // [rows, d]
    std::span<const float> scales;        // [rows]
    std::vector<std::int8_t> door_codes;  // [doors, d]: those at the places doors_
    std::vector<float> door_scales;
  };
  class Walk;
  Head read_head(std::uint32_t layer, std::uint32_t head) const;
  std::vector<std::vector<std::int32_t>> choose_doors(const Head& head, const WholeRows& asking) const;

  std::shared_ptr<const KeyIndexFile> file_;
  std::int64_t rows_, size_, links_, probe_;
  std::vector<std::int32_t> doors_;  // places where walks may begin, of every head
  std::vector<Head> heads_;          // layers · heads
};

}  // namespace uio
