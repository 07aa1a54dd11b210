// A document read through its own memories, so that each token is predicted from what its method lets it see.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "io/record.h"
#include "memory/token_sequence.h"

namespace uio {

class Model;
class MemoryMethod;
struct Blob;
struct SearchTally;

struct Walk {
  const char* context;                   // what it is for and the document's id, for messages
  const std::string& document;
  const TokenSequence& tokens;           // BOS included
  std::int64_t first_target;             // index of the first token that is to be predicted
  bool has_context_only;                 // everything before it is context, not walked
  bool drop_oldest;                      // memories beyond the model's positions go, oldest first
  std::int64_t batch;                    // segments encoded at once; 0: chosen
  Form form = Form::kKv;                 // how memories are kept until they are read
  Precision precision = Precision::kExact;
  std::span<const TokenSequence* const> earlier = {};  // documents before it whose memories come first, oldest first
  // Earlier segments that are read again, raw: the so many that the L tokens before the targets (before the segment, when it is walked) attend to most.
  std::int64_t retrieve = 0;
  bool has_memories = true;  // false: memories only choose what is retrieved
  const Blob* before = nullptr;    // memory that stands before the document, where not null: only of methods that take it
  bool searches_exactly = false;   // no index is used, whatever the method's settings say
  SearchTally* tally = nullptr;    // where not null: each search with an index is compared with the exact one
};

// Gets the residual rows [T, D] of the tokens from `first` on, which predict those from first + 1 on. Rows may come that predict no target.
using EmitRows = std::function<void(std::int64_t first, const at::Tensor& rows)>;

constexpr std::int64_t kTokensAtOnce = 1024;  // of one pass through the decoder: bounds the activations

// With memory tokens: memories of all earlier segments, whole ones of earlier documents among them, own segment raw; a segment's first token is predicted by the last position of the
// segment before it. With has_context_only: whole segments of the context as memories, its remainder raw.
// Throws Error{kMismatch} naming the document when that needs more positions than the model has.
void walk_slots(const Model& model, const MemoryMethod& method, const Walk& walk, const EmitRows& emit);

}  // namespace uio
