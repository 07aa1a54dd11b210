// From pieces of text to what is computed on them: segments that become memories, and passes of the decoder over local text, each
// with the memories it sees and the tokens it is scored on (algorithm notes 1.4 and 17).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "train/corpus.h"

namespace uio {

// What a run optimises, and with which weight each.
struct Objectives {
  double lm = 0, autoencode = 0, distill = 0, text = 0;
};
// `objective`: lm (crossbatch has its losses), autoencode, distill, text, or mix with its weights. Throws Error{kUsage} for other names and weights that are not positive.
Objectives objectives_of(const std::string& objective, const std::vector<std::pair<std::string, double>>& mix);

enum class PassKind {
  kNext,    // the text goes on: every token that this local text predicts
  kRepeat,  // the text of the last memory again
  kText     // the document as it is, no memory: every token that it predicts
};

// One pass of the decoder: B rows of local text side by side after the first `memories` memories.
struct Pass {
  PassKind kind = PassKind::kNext;
  std::int64_t memories = 0;
  at::Tensor ids;           // [B, T] int64; rows that end earlier are filled up with token 0, which nothing depends on
  at::Tensor rows;          // [R] int64: which of the B·T rows are scored, in order
  at::Tensor targets;       // [R] int64
  at::Tensor weights;       // [R]: factor of each −log p; all objectives' normalisation included. Undefined: distillation alone
  at::Tensor soft_weights;  // [R]: factor of each KL(full text ‖ memories); undefined: none
  at::Tensor teacher;       // [R, D]: the teacher's final rows, where soft_weights are there
  std::vector<std::int64_t> positions;  // [R]: of the targets in their documents
};

struct PlanSettings {
  Objectives objectives;
  bool is_released = false;              // loss of the released code: per whole segment from the second, its inner tokens' mean; summed
  bool trains_base = false;              // the first segment is scored too
  bool has_memories = true;              // false: each piece is one local text
  std::int64_t segment_length = 0;       // L
  std::int64_t capacity = std::int64_t{1} << 40;  // positions of the model: text without memories is read in parts of at most so many
  std::vector<std::int64_t> repeat_prompt;  // tokens between the memories and the text that is repeated
  double share = 1;                      // factor on every weight: 1 / documents of the step
  at::ScalarType dtype = at::kFloat;     // of weights
};

struct Plan {
  std::vector<at::Tensor> segments;   // [B, L] int64 each: those that become memories, in order
  std::vector<Pass> passes;           // by the memories they see, ascending
  std::vector<at::Tensor> local;      // kNext's local texts, [B, T] int64, all of them in order: what a teacher reads
  std::int64_t documents = 0, tokens = 0, scored = 0;
};

// A document for a plan: its tokens and how much each counts.
struct Document {
  std::vector<std::int64_t> ids;
  std::vector<double> weights;
};
Document document_of(const Corpus& corpus, const Piece& piece);

// Documents that can go side by side have equal keys: as many segments, as many of them whole.
std::pair<std::int64_t, std::int64_t> shape_of(const Document& document, const PlanSettings& settings);
// Throws Error{kInternal} for documents of different shapes.
Plan make_plan(const std::vector<Document>& documents, const PlanSettings& settings);

}  // namespace uio
