// The memory of memory layers: raw keys and values that stay in the files of blobs, behind them those that grew since: too many of them in a file, the last in RAM.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "io/spilled_rows.h"
#include "kernels/attention.h"
#include "kernels/far_search.h"
#include "search/row_buffer.h"
#include "search/search_settings.h"
#include "search/stored_memory.h"

namespace uio {

// How much of what exact search finds was found with an index.
struct SearchTally {
  std::uint64_t found = 0, wanted = 0;  // keys, over queries, heads and layers
};

class FarMemory {
 public:
  // Of so many memory layers. `kept`: the dtype of memories in files; `key_scale`: the factor on keys that are read from them, where rotation to the first
  // position has one (YaRN).
  FarMemory(SearchSettings settings, std::size_t layers, DType kept, double key_scale) : settings_(std::move(settings)), kept_(kept), key_scale_(key_scale), grown_(layers) {}

  // Keys, as they are attended to, and values [B, G, n, d] of the memory layer with that number; grow() when all layers have theirs.
  void append(std::size_t number, const at::Tensor& keys, const at::Tensor& values) { grown_[number].append(keys, values, grown_length_); }
  // Where there is a folder for it, what is more than a bound goes there. Throws Error{kIo}.
  void grow(std::int64_t count);
  // The next `count` rows of `stored` are memory from now on.
  void add_stored(const std::shared_ptr<const StoredMemory>& stored, std::int64_t count);
  std::int64_t length() const { return stored_length_ + spilled_length() + grown_length_; }
  // From now on each search with an index is compared with the exact one.
  void measure(SearchTally* tally) { tally_ = tally; }

  // One softmax over `local` parts and what `queries` [B, H, T, d] see of the memory: all of it, or the nearest keys. There is some memory.
  at::Tensor attend(std::size_t number, const at::Tensor& queries, std::vector<kernels::AttentionPart> local, double scale) const;

 private:
  friend class LayerRows;
  struct Stored {
    std::shared_ptr<const StoredMemory> memory;
    std::int64_t begin, count;  // among the rows of the memory; of it
    bool is_whole() const { return count == memory->rows.count(); }
  };
  std::int64_t spilled_length() const { return spilled_ ? spilled_->count() : 0; }
  void spill();
  kernels::AttentionPart grown_part(std::size_t number, const at::Tensor& queries) const;
  kernels::Found find(std::size_t number, const at::Tensor& queries, std::int64_t groups, const kernels::FarRows& rows, std::int64_t count) const;

  SearchSettings settings_;
  DType kept_;
  double key_scale_;
  std::vector<Stored> stored_;
  std::unique_ptr<SpilledRows> spilled_;  // null: nothing yet. In the dtype of memories where that loses nothing
  std::vector<RowBuffer> grown_;          // of each memory layer, in the dtype that is computed in
  std::int64_t stored_length_ = 0, grown_length_ = 0;
  SearchTally* tally_ = nullptr;
};

}  // namespace uio
