// A document read through its own memories, so that each token is predicted from what its method lets it see.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/record.h"

namespace uio {

class Model;
class MemoryMethod;

struct Walk {
  const std::string& document;           // its id, for messages
  const std::vector<std::int32_t>& ids;  // BOS included
  std::int64_t first_target;             // index of the first token that is to be predicted
  bool has_context_only;                 // everything before it is context, not walked
  bool drop_oldest;                      // memories beyond the model's positions go, oldest first
  std::int64_t batch;                    // segments encoded at once; 0: chosen
  Form form = Form::kKv;                 // how memories are kept until they are read
  Precision precision = Precision::kExact;
};

// Gets the residual rows [T, D] of the tokens from `first` on, which predict those from first + 1 on. Rows may come that predict no target.
using EmitRows = std::function<void(std::int64_t first, const at::Tensor& rows)>;

constexpr std::int64_t kTokensAtOnce = 1024;  // of one pass through the decoder: bounds the activations

// With memory tokens: memories of all earlier segments, own segment raw; a segment's first token is predicted by the last position of the
// segment before it. With has_context_only: whole segments of the context as memories, its remainder raw.
// Throws Error{kMismatch} naming the document when that needs more positions than the model has.
void walk_slots(const Model& model, const MemoryMethod& method, const Walk& walk, const EmitRows& emit);

}  // namespace uio
