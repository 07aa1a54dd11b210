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

std::int64_t size_of(const ScoreInput& in) { return static_cast<std::int64_t>(in.ids.size()); }

std::vector<double> unscored(const ScoreInput& in) {
  return std::vector<double>(in.ids.size(), std::numeric_limits<double>::quiet_NaN());
}

at::Tensor ids_of(const ScoreInput& in, std::int64_t begin, std::int64_t end) {
  return at::tensor(at::ArrayRef<std::int32_t>(in.ids.data() + begin, static_cast<std::size_t>(end - begin)), at::kInt).to(at::kLong).unsqueeze(0);
}

// Rows [R, D] of the residual stream predict the tokens from `first` on; those to score are written to `out`.
void predict(const ScoreInput& in, const at::Tensor& rows, std::int64_t first, std::vector<double>& out) {
  const std::int64_t begin = std::max(first, in.first_target), end = std::min(first + rows.size(0), size_of(in));
  if (begin >= end) return;
  const Model& model = *in.ready.model;
  const at::Tensor normed = model.final_norm(rows.narrow(0, begin - first, end - begin));
  const at::Tensor scores = model.log_probabilities(normed, ids_of(in, begin, end).squeeze(0)).to(at::kCPU, at::kDouble);
  for (std::int64_t i = begin; i < end; ++i) out[static_cast<std::size_t>(i)] = scores.const_data_ptr<double>()[i - begin];
}

void need(const ScoreInput& in, const char* context, std::int64_t positions) {
  check_capacity(*in.ready.model, positions, std::string(context) + "' of '" + in.document);
}

// Tokens [begin, end) after whatever `context` holds, in passes of bounded size.
void pass(const ScoreInput& in, DecoderContext& context, std::int64_t begin, std::int64_t end, std::vector<double>& out) {
  for (std::int64_t at = begin; at < end; at += kTokensAtOnce) {
    const std::int64_t stop = std::min(end, at + kTokensAtOnce);
    predict(in, context.add_tokens(ids_of(in, at, stop)).squeeze(0), at + 1, out);
    in.host.progress(static_cast<std::uint64_t>(stop), static_cast<std::uint64_t>(size_of(in)), "tokens");
  }
}

std::vector<double> score_full(const ScoreInput& in) {
  std::vector<double> out = unscored(in);
  const std::int64_t inputs = size_of(in) - 1;  // the last token is predicted, not read
  if (inputs < 1) return out;
  need(in, "full", inputs);
  DecoderContext context(*in.ready.model, inputs);
  pass(in, context, 0, inputs, out);
  return out;
}

// Own segment alone, positions from 0; a segment's first token is predicted by the last position of the segment before it.
std::vector<double> score_none(const ScoreInput& in) {
  std::vector<double> out = unscored(in);
  const Model& model = *in.ready.model;
  const std::int64_t n = size_of(in), length = in.segment_length;
  if (in.has_context_only) {
    // BOS only, then the targets.
    const bool has_bos = in.ready.tokenizer->bos() >= 0 && n > 0 && in.ids[0] == in.ready.tokenizer->bos();
    const std::int64_t begin = in.first_target, inputs = n - 1 - begin;
    if (begin <= 1) return score_full(in);
    need(in, "none", inputs + (has_bos ? 1 : 0));
    DecoderContext context(model, std::max<std::int64_t>(1, inputs + 1));
    if (has_bos) predict(in, context.add_tokens(ids_of(in, 0, 1)).squeeze(0), begin, out);
    if (inputs > 0) pass(in, context, begin, n - 1, out);
    return out;
  }
  need(in, "none", std::min(length, n - 1));
  const std::int64_t batch = in.batch > 0 ? in.batch : std::max<std::int64_t>(1, kTokensAtOnce / length);
  std::int64_t begin = 0;
  while (begin < n - 1) {
    const std::int64_t whole = (n - begin) / length, rows = std::clamp<std::int64_t>(whole, 1, batch);
    if (whole == 0 || length > kTokensAtOnce) {
      const std::int64_t end = std::min(n - 1, begin + length);
      DecoderContext context(model, end - begin);
      pass(in, context, begin, end, out);
      begin += length;
      continue;
    }
    DecoderContext context(model, length, rows);
    const at::Tensor x = context.add_tokens(ids_of(in, begin, begin + rows * length).view({rows, length}));
    predict(in, x.reshape({rows * length, x.size(2)}), begin + 1, out);
    begin += rows * length;
    in.host.progress(static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(n), "tokens");
  }
  return out;
}

// What the method lets a token see: its own segment, or window, raw and memories of all before.
std::vector<double> score_memory(const ScoreInput& in) {
  std::vector<double> out = unscored(in);
  const Walk walk{in.document, in.ids, in.first_target, in.has_context_only, in.drop_oldest, in.batch, in.form, in.precision};
  in.ready.need_method().walk(walk, [&](std::int64_t first, const at::Tensor& rows) {
    predict(in, rows, first + 1, out);
    in.host.progress(static_cast<std::uint64_t>(first + rows.size(0)), static_cast<std::uint64_t>(size_of(in)), "tokens");
  });
  return out;
}

// The most recent raw tokens that the model's positions hold, for each segment.
std::vector<double> score_window(const ScoreInput& in) {
  std::vector<double> out = unscored(in);
  const Model& model = *in.ready.model;
  const std::int64_t n = size_of(in), capacity = model.config().capacity();
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
    pass(part, context, from, last, out);
  }
  return out;
}

std::vector<double> score_streaming(const ScoreInput& in) {
  std::vector<double> out = unscored(in);
  const Model& model = *in.ready.model;
  const std::int64_t n = size_of(in), window = model.config().capacity() - kSinks;
  if (window < 1) need(in, "streaming", kSinks + 1);
  StreamingContext context(model, kSinks, window);
  for (std::int64_t at = 0; at < n - 1; at += StreamingContext::kMostTokens) {
    const std::int64_t stop = std::min(n - 1, at + StreamingContext::kMostTokens);
    predict(in, context.add_tokens(ids_of(in, at, stop)).squeeze(0), at + 1, out);
    in.host.progress(static_cast<std::uint64_t>(stop), static_cast<std::uint64_t>(n), "tokens");
  }
  return out;
}

constexpr ContextEntry kContexts[] = {
    {"none", false, "own segment alone (--last: BOS only)", score_none},
    {"memory", true, "memories of all earlier segments, own segment raw", score_memory},
    {"window", false, "the most recent raw tokens that the model's positions hold", score_window},
    {"full", false, "everything before, raw", score_full},
    {"streaming", false, "4 sinks and a window (StreamingLLM, arXiv 2309.17453)", score_streaming},
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

}  // namespace uio
