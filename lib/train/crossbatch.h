// CrossBatch training of memory layers (arXiv 2307.03170): the windows of a step's documents, each with windows before it in memory, its own
// document's and others'. Every window is read once as text and scored, the first ones too, and what memory layers make of it is what later windows
// find in memory; so d windows are d texts to learn from, and a document alone with all its windows is what uio-score reads.
// The gradient is exact with the activations of one batch of windows: keys and values first, without graphs; then backwards through the windows, each on
// leaves of its memory, with the cotangents that later windows sent to its own keys and values (algorithm notes 16.9).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "io/jobs.h"
#include "memory/adapter.h"
#include "model/rope.h"
#include "train/document.h"
#include "train/plan.h"
#include "train/processes.h"

namespace uio {

struct CrossDocument {
  std::int64_t length;  // tokens
  Mixture mixture;      // a window w sees windows w - positives … w - 1 of its document and, of each of the `negatives` documents after it (after the
                        // last comes the first), window w - 1 or the last that it has
};

// Documents side by side.
struct CrossRows {
  Plan plan;                           // of windows, all of them local texts
  std::vector<std::size_t> documents;  // of each row: its number in the step
};

class Crossbatch {
 public:
  // `documents`: all of a step, each with fewer negatives than there are documents; `rows`: those that this process computes. `length`: of a window. All
  // processes of a run call everything together. Positions and dtypes of memories are inference's (window_context.h); the rounding to `mem_dtype` has the gradient 1.
  Crossbatch(const Trainee& trainee, const WindowSettings& settings, std::int64_t length, std::vector<CrossDocument> documents,
             std::vector<CrossRows> rows, Processes& processes, LossTally& tally);

  // Adds the gradient of the sum of all losses of `rows` to the leaves' .grad and returns it; without `through_memory` keys and values of the
  // memory are constants. The gradients of all processes add up to that of the step.
  double gradient(bool through_memory);
  // The same sum alone.
  double loss();
  const std::vector<CrossRows>& rows() const { return rows_; }

 private:
  // Keys (as they are attended to) and values in one memory layer, [1, G, n, d], and their cotangents.
  struct Kept {
    at::Tensor keys, values, key_cotangents, value_cotangents;
    Kept part(std::int64_t begin, std::int64_t count) const;
  };
  // What negatives are taken of at one window: that of each document in turn, as many more as wrap around.
  struct Ring {
    std::vector<std::size_t> documents;
    std::vector<std::int64_t> begins;  // of each, and the end
    std::vector<Kept> layers;
  };
  // What a row sees in one memory layer: leaves, and where their gradients go.
  using Seen = std::vector<Kept>;
  // By memory layer and row.
  using Memory = std::vector<std::vector<Seen>>;
  struct Made {
    at::Tensor loss;                       // undefined where nothing is scored
    std::vector<at::Tensor> keys, values;  // of each memory layer, un-rotated, [B, T, G, d]
  };

  std::int64_t length_of(std::size_t document, std::int64_t window) const;
  std::int64_t last_of(std::size_t document) const;
  void find_readers();
  bool is_read(const CrossRows& rows, std::int64_t window) const;
  const Pass* pass_of(const CrossRows& rows, std::int64_t window) const;
  Ring ring_at(std::int64_t window) const;
  void return_cotangents(const Ring& ring, std::int64_t window);
  Memory memory_of(const CrossRows& rows, std::int64_t window, const Ring& ring, bool has_gradient) const;
  Made read(const CrossRows& rows, std::int64_t window, const Memory& memory, const Pass* pass, bool is_memory);
  at::Tensor attend(std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::vector<Seen>& seen) const;
  at::Tensor as_first(const at::Tensor& keys) const;
  void keep(const CrossRows& rows, std::int64_t window, const Made& made);
  void add_cotangents(const CrossRows& rows, std::int64_t window, const Made& made, std::vector<at::Tensor>& outputs, std::vector<at::Tensor>& seeds) const;
  void share(std::int64_t window, at::Tensor Kept::*one, at::Tensor Kept::*other);
  void begin(bool has_cotangents);
  double forward(bool is_scored);
  double backward_through_memory();

  Trainee trainee_;
  WindowSettings settings_;
  std::int64_t length_, windows_ = 0;
  std::vector<CrossDocument> documents_;
  std::vector<CrossRows> rows_;
  Processes& processes_;
  LossTally& tally_;
  RopeTable rope_;
  std::vector<std::int64_t> read_;       // of each document: so many of its first windows are memory of some other
  std::vector<std::vector<Kept>> kept_;  // by memory layer and document
};

}  // namespace uio
