// What a scored token may see: one function and one table row each.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/host.h"
#include "memory/setup.h"

namespace uio {

struct ScoreInput {
  const Ready& ready;
  const std::string& document;
  const std::vector<std::int32_t>& ids;  // the document, BOS included
  std::int64_t segment_length;           // L
  std::int64_t first_target;             // index of the first token to score
  bool has_context_only;                 // --last: everything before first_target is context, not walked
  bool drop_oldest;                      // memories beyond the model's positions go, oldest first
  std::int64_t batch;                    // segments at once; 0: chosen
  Host& host;
  Form form = Form::kKv;  // how memories are kept until they are read
  Precision precision = Precision::kExact;
};

struct ContextEntry {
  std::string_view name;
  bool needs_memory;
  std::string_view summary;
  // log p of each token of the document; NaN where it is not scored. Throws Error{kMismatch} naming context and document when
  // the context needs more positions than the model has.
  std::vector<double> (*score)(const ScoreInput&);
};

std::span<const ContextEntry> score_contexts();
// Throws Error{kUsage} listing the known ones.
const ContextEntry& find_context(const std::string& name);

}  // namespace uio
