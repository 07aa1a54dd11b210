// What a scored token may see: one function and one table row each.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/host.h"
#include "memory/setup.h"
#include "memory/token_sequence.h"

namespace uio {

struct Blob;
struct SearchTally;

struct ScoreInput {
  const Ready& ready;
  const std::string& document;
  const TokenSequence& tokens;  // the document, BOS included
  std::int64_t segment_length;  // L
  std::int64_t first_target;    // index of the first token to score
  bool has_context_only;        // --last: everything before first_target is context, not walked
  bool drop_oldest;             // memories beyond the model's positions go, oldest first
  std::int64_t batch;           // segments at once; 0: chosen
  Host& host;
  Form form = Form::kKv;  // how memories are kept until they are read
  Precision precision = Precision::kExact;
  std::span<const TokenSequence* const> earlier = {};  // documents before it, whose memories come first
  std::int64_t retrieve = 1;  // segments that the contexts which retrieve read raw
  const Blob* before = nullptr;   // memory before the document, in the context `memory`
  bool searches_exactly = false;  // no index is used
  SearchTally* tally = nullptr;   // where not null: searches with an index are compared with exact ones
};

// Gets the final-normed rows [R, D] that predict the tokens from `first` on, all of them targets.
using TakeRows = std::function<void(std::int64_t first, const at::Tensor& rows)>;

struct ContextEntry {
  std::string_view name;
  bool needs_memory;
  std::string_view summary;
  // The rows of the targets in their order; a first target that nothing predicts has none. Throws Error{kMismatch} naming context and
  // document when the context needs more positions than the model has.
  void (*predict)(const ScoreInput&, const TakeRows& take);
};

std::span<const ContextEntry> score_contexts();
// Throws Error{kUsage} listing the known ones.
const ContextEntry& find_context(const std::string& name);

// log p of each token of the document; NaN where it is not scored.
std::vector<double> score_tokens(const ContextEntry& context, const ScoreInput& input);

}  // namespace uio
