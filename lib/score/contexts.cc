#include "score/contexts.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "memory/context.h"
#include "memory/streaming.h"
#include "memory/walk.h"

namespace uio {
namespace {

constexpr std::int64_t kSinks = 4;            // arXiv 2309.17453, section 3.3

// Rows [R, D] of the residual stream predict the tokens from `first` on; those of targets are handed on.
void predict(const ScoreInput& in, const at::Tensor& rows, std::int64_t first, const TakeRows& take) {
  const std::int64_t begin = std::max(first, in.first_target), end = std::min(first + rows.size(0), in.tokens.size());
  if (begin < end) take(begin, in.ready.model->final_norm(rows.narrow(0, begin - first, end - begin)));
}

void need(const ScoreInput& in, const char* context, std::int64_t positions) {
  check_capacity(*in.ready.model, positions, std::string(context) + "' of '" + in.document);
}

// Tokens [begin, end) after whatever `context` holds, in passes of bounded size.
void pass(const ScoreInput& in, DecoderContext& context, std::int64_t begin, std::int64_t end, const TakeRows& take) {
  for (std::int64_t at = begin; at < end; at += kTokensAtOnce) {
    const std::int64_t stop = std::min(end, at + kTokensAtOnce);
    predict(in, context.add_tokens(in.tokens.ids(at, stop)).squeeze(0), at + 1, take);
    in.host.progress(static_cast<std::uint64_t>(stop), static_cast<std::uint64_t>(in.tokens.size()), "tokens");
  }
}

void predict_full(const ScoreInput& in, const TakeRows& take) {
  const std::int64_t inputs = in.tokens.size() - 1;  // the last token is predicted, not read
  if (inputs < 1) return;
  need(in, "full", inputs);
  DecoderContext context(*in.ready.model, inputs);
  pass(in, context, 0, inputs, take);
}

// Own segment alone, positions from 0; a segment's first token is predicted by the last position of the segment before it.
void predict_none(const ScoreInput& in, const TakeRows& take) {
  const Model& model = *in.ready.model;
  const std::int64_t n = in.tokens.size(), length = in.segment_length;
  if (in.has_context_only) {
    // BOS only, then the targets.
    const bool has_bos = in.ready.tokenizer->bos() >= 0 && n > 0 && in.tokens.ids(0, 1).item<std::int64_t>() == in.ready.tokenizer->bos();
    const std::int64_t begin = in.first_target, inputs = n - 1 - begin;
    if (begin <= 1) return predict_full(in, take);
    need(in, "none", inputs + (has_bos ? 1 : 0));
    DecoderContext context(model, std::max<std::int64_t>(1, inputs + 1));
    if (has_bos) predict(in, context.add_tokens(in.tokens.ids(0, 1)).squeeze(0), begin, take);
    if (inputs > 0) pass(in, context, begin, n - 1, take);
    return;
  }
  need(in, "none", std::min(length, n - 1));
  const std::int64_t batch = in.batch > 0 ? in.batch : std::max<std::int64_t>(1, kTokensAtOnce / length);
  std::int64_t begin = 0;
  while (begin < n - 1) {
    const std::int64_t whole = (n - begin) / length, rows = std::clamp<std::int64_t>(whole, 1, batch);
    if (whole == 0 || length > kTokensAtOnce) {
      const std::int64_t end = std::min(n - 1, begin + length);
      DecoderContext context(model, end - begin);
      pass(in, context, begin, end, take);
      begin += length;
      continue;
    }
    DecoderContext context(model, length, rows);
    const at::Tensor x = context.add_tokens(in.tokens.ids(begin, begin + rows * length).view({rows, length}));
    predict(in, x.reshape({rows * length, x.size(2)}), begin + 1, take);
    begin += rows * length;
    in.host.progress(static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(n), "tokens");
  }
}

// A document that tells how far it was read: most of a long one becomes memory and is never predicted.
class ToldTokens : public TokenSequence {
 public:
  explicit ToldTokens(const ScoreInput& in) : tokens_(in.tokens), host_(in.host) {}
  std::int64_t size() const override { return tokens_.size(); }
  void copy(std::int64_t begin, std::int64_t end, std::int64_t* out) const override {
    host_.progress(static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(size()), "tokens");
    tokens_.copy(begin, end, out);
  }

 private:
  const TokenSequence& tokens_;
  Host& host_;
};

void walk_memories(const ScoreInput& in, const char* context, std::int64_t retrieve, bool has_memories, const TakeRows& take) {
  const ToldTokens tokens(in);
  const Walk walk{context,  in.document, tokens, in.first_target, in.has_context_only, in.drop_oldest, in.batch, in.form, in.precision, in.earlier,
                  retrieve, has_memories, in.before, in.searches_exactly, in.tally};
  in.ready.need_method().walk(walk, [&](std::int64_t first, const at::Tensor& rows) { predict(in, rows, first + 1, take); });
}

// What the method lets a token see: its own segment, or window, raw and memories of all before.
void predict_memory(const ScoreInput& in, const TakeRows& take) { walk_memories(in, "memory", 0, true, take); }

void predict_retrieved(const ScoreInput& in, const TakeRows& take) { walk_memories(in, "retrieved", in.retrieve, false, take); }

void predict_memory_retrieved(const ScoreInput& in, const TakeRows& take) { walk_memories(in, "memory+retrieved", in.retrieve, true, take); }

// The most recent raw tokens that the model's positions hold, for each segment.
void predict_window(const ScoreInput& in, const TakeRows& take) {
  const Model& model = *in.ready.model;
  const std::int64_t n = in.tokens.size(), capacity = model.config().capacity();
  const std::int64_t step = in.has_context_only ? n : in.segment_length;
  need(in, "window", std::min(step, in.has_context_only ? n - in.first_target : n - 1));
  const std::int64_t origin = in.has_context_only ? in.first_target : 0;
  for (std::int64_t begin = origin; begin < n; begin += step) {
    const std::int64_t end = std::min(n, begin + step), last = end - 1;  // inputs [from, last) predict up to token last
    const std::int64_t from = std::max<std::int64_t>(0, last - capacity);
    if (last <= from) continue;
    DecoderContext context(model, last - from);
    ScoreInput part = in;
    part.first_target = std::max(in.first_target, begin);
    pass(part, context, from, last, take);
  }
}

void predict_streaming(const ScoreInput& in, const TakeRows& take) {
  const Model& model = *in.ready.model;
  const std::int64_t n = in.tokens.size(), window = model.config().capacity() - kSinks;
  if (window < 1) need(in, "streaming", kSinks + 1);
  StreamingContext context(model, kSinks, window);
  for (std::int64_t at = 0; at < n - 1; at += StreamingContext::kMostTokens) {
    const std::int64_t stop = std::min(n - 1, at + StreamingContext::kMostTokens);
    predict(in, context.add_tokens(in.tokens.ids(at, stop)).squeeze(0), at + 1, take);
    in.host.progress(static_cast<std::uint64_t>(stop), static_cast<std::uint64_t>(n), "tokens");
  }
}

constexpr ContextEntry kContexts[] = {
    {"none", false, "own segment alone (--last: BOS only)", predict_none},
    {"memory", true, "memories of all earlier segments, own segment raw", predict_memory},
    {"retrieved", true, "own segment and the --retrieve earlier ones nearest to it, raw", predict_retrieved},
    {"memory+retrieved", true, "both of these", predict_memory_retrieved},
    {"window", false, "the most recent raw tokens that the model's positions hold", predict_window},
    {"full", false, "everything before, raw", predict_full},
    {"streaming", false, "4 sinks and a window (StreamingLLM, arXiv 2309.17453)", predict_streaming},
};

}  // namespace

std::span<const ContextEntry> score_contexts() { return kContexts; }

const ContextEntry& find_context(const std::string& name) {
  std::string known;
  for (const ContextEntry& entry : kContexts) {
    if (entry.name == name) return entry;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw Error(ErrorKind::kUsage, "unknown context", name, "known: " + known);
}

std::vector<double> score_tokens(const ContextEntry& context, const ScoreInput& in) {
  std::vector<double> scores(static_cast<std::size_t>(in.tokens.size()), std::numeric_limits<double>::quiet_NaN());
  context.predict(in, [&](std::int64_t first, const at::Tensor& rows) {
    const std::int64_t count = rows.size(0);
    const at::Tensor found = in.ready.model->log_probabilities(rows, in.tokens.ids(first, first + count).squeeze(0)).to(at::kCPU, at::kDouble);
    std::copy_n(found.const_data_ptr<double>(), count, scores.begin() + first);
  });
  return scores;
}

}  // namespace uio
