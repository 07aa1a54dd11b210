// StreamingLLM (arXiv 2309.17453): the first tokens (sinks) and a window of the last ones, at positions in the cache. Needs no training.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/model.h"
#include "model/rope.h"

namespace uio {

// A query at index t sees the sinks and the last `window` tokens, itself included; with sinks + window ≥ all tokens this is
// full attention. Keys are kept un-rotated; the position of a key is its index in the cache, as in the released code.
class StreamingContext {
 public:
  StreamingContext(const Model& model, std::int64_t sinks, std::int64_t window);
  // Runs tokens [1, T]; returns the residual stream before the final norm, [1, T, D]. T ≤ kMostTokens.
  at::Tensor add_tokens(const at::Tensor& ids);
  static constexpr std::int64_t kMostTokens = 256;

 private:
  struct Cache {
    at::Tensor sink_keys, sink_values;  // [1, G, ≤ sinks, d], rotated at their indices
    at::Tensor keys, values;            // [1, G, ≤ window, d], the last tokens, un-rotated
  };
  at::Tensor attend(std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

  const Model& model_;
  std::int64_t sinks_, window_, length_ = 0;
  RopeTable rope_;
  std::vector<Cache> layers_;
};

}  // namespace uio
