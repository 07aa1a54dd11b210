// Indexes of keys in lists: those of ivf and ivfpq, around centroids; and that of sq8, one list of all keys.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "io/key_index_file.h"
#include "kernels/best.h"
#include "search/key_index.h"

namespace uio {

// Keys are kept as approximations: bytes that share a scale a key, or codes of a product quantiser of what is left over a centroid. The lists whose
// centroids have the greatest inner product with a query are looked at, for all queries that want a list at once, and what scores best there is scored again
// by the keys themselves.
class ListIndex : public KeyIndex {
 public:
  // Throws Error{kData} where its arrays contradict each other.
  ListIndex(std::shared_ptr<const KeyIndexFile> file, std::int64_t probe);
  kernels::Found find(std::int64_t layer, const at::Tensor& queries, std::int64_t groups, const kernels::FarRows& rows, std::int64_t begin, std::int64_t count) const override;

 private:
  struct Head {
    std::span<const float> centroids;       // [lists, d]; none of sq8
    std::span<const std::uint64_t> starts;  // [lists + 1]: where in the other arrays each list begins; none of sq8
    std::span<const std::uint32_t> ids;     // [rows]; none of sq8, whose keys are in their order
    std::span<const std::int8_t> bytes;     // [rows, d]
    std::span<const float> scales;          // [rows]
    std::span<const std::uint8_t> codes;    // [rows, parts]
    std::span<const float> books;           // [parts, 256, d / parts]
  };
  struct Run;
  class Scores;
  using BestOfQueries = std::vector<kernels::Best<float>>;
  Head read_head(std::uint32_t layer, std::uint32_t head) const;
  at::Tensor choose_lists(std::int64_t layer, const at::Tensor& queries, std::int64_t groups) const;
  void look(const Run& run, std::int64_t matrix, std::int64_t first, std::int64_t last, std::int64_t from, std::int64_t to, Scores& scores,
            BestOfQueries& best) const;
  void choose_candidates(const Run& run, std::int64_t matrix, std::int64_t first, std::int64_t last) const;

  std::shared_ptr<const KeyIndexFile> file_;
  std::int64_t rows_, size_, lists_, probe_;
  std::vector<Head> heads_;  // layers · heads
};

}  // namespace uio
