// A local window of raw tokens and, in the memory layers, a memory of raw keys and values (arXiv 2307.03170).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "memory/adapter.h"
#include "memory/context.h"
#include "memory/keys_values.h"
#include "search/far_memory.h"

namespace uio {

// In memory layers a query attends, in one softmax, to the local tokens up to itself and to the memory: all of it, or the keys of it that score highest.
// Positions are those of the released LongLLaMA: local tokens stand at 0, 1, …; every key of the memory stands at 0; without positions in the memory
// layers (mem_positionals false) nothing is rotated there. The other layers see the local window only. B rows side by side advance in step.
class WindowContext : public TokenContext {
 public:
  // `length`: the longest local window.
  WindowContext(const Model& model, const WindowSettings& settings, std::int64_t length, std::int64_t batch = 1);

  void add_memory(const at::Tensor& keys, const at::Tensor& values) override;
  // The next `count` rows of a blob that stay in its file; where the nearest keys are searched.
  void add_stored(const std::shared_ptr<const StoredMemory>& stored, std::int64_t count) { memory_.add_stored(stored, count); }
  // From now on each search with an index is compared with the exact one.
  void measure(SearchTally* tally) { memory_.measure(tally); }
  std::int64_t room() const override { return capacity_ - length_; }
  // Reads tokens [B, T] for their keys and values in the memory layers alone: nothing above the last of these is computed, and the window can only be
  // looked at and cleared afterwards.
  void read(const at::Tensor& ids);
  // Keys (un-rotated) and values of the local window in the memory layers, [B, N, G, T, d] in the dtype of memories.
  KeysValues window() const;
  // Forgets the local window; the memory stays.
  void clear() { length_ = 0; }
  std::int64_t length() const { return length_; }  // tokens of the local window

 private:
  struct Layer {
    RowBuffer local;      // keys as they are attended to, in the dtype that is computed in
    at::Tensor raw_keys;  // of a memory layer with positions: the same un-rotated
    bool has_memory = false;
    std::size_t number = 0;  // of a memory layer, among these
  };
  void read_piece(const at::Tensor& ids);
  void make_room(std::int64_t count) override;
  at::Tensor attend(std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) override;
  void advance(std::int64_t count) override { length_ += count; }
  bool is_rotated(const Layer& layer) const { return !layer.has_memory || settings_.memory.has_positions; }
  void keep(Layer& layer, const at::Tensor& keys, const at::Tensor& values);

  WindowSettings settings_;
  std::int64_t capacity_, batch_, length_ = 0;
  RopeTable rope_;
  FarMemory memory_;
  std::vector<Layer> layers_;
};

}  // namespace uio
