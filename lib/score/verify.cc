#include "score/verify.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "io/json.h"
#include "io/stream.h"
#include "memory/earlier_memories.h"
#include "memory/memory_tensor.h"
#include "text/segment_source.h"

namespace uio {
namespace {

constexpr std::int64_t kProbe = 64;  // tokens of the segment itself that are read after its memory to compare predictions

double default_tolerance(at::ScalarType dtype) {
  if (dtype == at::kDouble) return 1e-9;
  if (dtype == at::kFloat) return 1e-4;  // sums of other batch shapes differ in the last bits
  return 2e-2;                           // a few steps of bfloat16
}

// What a memory states of its own error is believed up to what its precision may need: not exact enough is not excused by saying so.
double excused(const Memory& memory) {
  const double most = memory.precision == Precision::kInt8 ? 0.03 : memory.precision == Precision::kInt4 ? 0.25 : 0;
  return std::min(most, std::max(memory.key_error.largest, memory.value_error.largest));
}

double largest(const at::Tensor& tensor) { return tensor.numel() ? tensor.abs().max().item<double>() : 0; }

// Mean over positions of KL(fresh ‖ stored) between next-token distributions after one memory, over the segment's first tokens.
double divergence(const Model& model, const MemoryMethod& method, const KeysValues& fresh, const KeysValues& stored, const Segment& segment) {
  const std::int64_t count = std::min<std::int64_t>(kProbe, static_cast<std::int64_t>(segment.tokens.size()));
  const at::Tensor ids = at::tensor(at::ArrayRef<std::int32_t>(segment.tokens.data(), static_cast<std::size_t>(count)), at::kInt).to(at::kLong).unsqueeze(0);
  const auto predict = [&](const KeysValues& memory) {
    const auto context = method.make_context(std::min(model.config().capacity(), memory.keys.size(3) + count));
    context->add_memory(memory.keys, memory.values);
    const at::Tensor x = context->add_tokens(ids.narrow(1, 0, std::min(count, context->room())));
    return at::log_softmax(model.logits(model.final_norm(x.squeeze(0))).to(at::kDouble), -1);
  };
  const at::Tensor p = predict(fresh), q = predict(stored);
  return (p.exp() * (p - q)).sum(-1).mean().item<double>();
}

}  // namespace

void verify(const ScoreJob& job, JobIo& io, const Ready& ready, DocumentOptions options) {
  const Model& model = *ready.model;
  const MemoryMethod& method = ready.need_method();
  const auto blob = open_source(job.verify);
  RecordReader reader(*blob);
  RecordSource source(io.inputs, *ready.tokenizer, method.cutting(), options, io.host);
  const double least_tolerance = job.tolerance > 0 ? job.tolerance : default_tolerance(model.placement().stored);

  double worst = 0, worst_kl = 0, most_tolerance = least_tolerance;
  std::string failed;  // the first memory that differs by more than it may
  std::uint64_t compared = 0;
  EarlierMemories earlier;
  const auto where = [](const Span& span) { return span.document + "/" + std::to_string(span.segment); };
  for (;;) {
    auto stored = reader.next();
    auto own = source.next();
    if (!stored && !own) break;
    if (!stored || !own)
      throw Error(ErrorKind::kMismatch, "blob and text differ in length", job.verify,
                  std::string(stored ? "the text ends before " : "the blob ends before ") + where(span_of(stored ? *stored : *own)));
    if (!std::holds_alternative<Segment>(*own))
      throw Error(ErrorKind::kMismatch, "nothing to compare with", source.input(), "it holds memories; give the text or its segments");
    const auto& segment = std::get<Segment>(*own);
    const bool is_memory = std::holds_alternative<Memory>(*stored);
    const std::string has = is_memory ? std::get<Memory>(*stored).token_hash : token_hash(std::get<Segment>(*stored).tokens);
    if (is_memory != method.is_whole(segment) || has != token_hash(segment.tokens))
      throw Error(ErrorKind::kMismatch, "blob was made from another text", job.verify,
                  where(span_of(*stored)) + " has tokens " + has + ", the text's " + where(segment.span) + " has " + token_hash(segment.tokens));
    if (!is_memory) continue;

    const auto& memory = std::get<Memory>(*stored);
    const KeysValues there = from_record(memory, model, ready.tokenizer->fingerprint(), &method);
    if (method.is_recurrent()) earlier.begin(segment.span);
    const at::Tensor hidden = method.encode(at::tensor(segment.tokens, at::kInt).to(at::kLong).unsqueeze(0), earlier.memories());
    if (method.is_recurrent()) earlier.add(hidden);
    const KeysValues fresh = method.transfer(hidden);
    const auto difference = [&](const at::Tensor& a, const at::Tensor& b) {
      const at::Tensor wide = b.to(at::kCPU, at::kDouble);
      return largest(a.to(at::kCPU, at::kDouble) - wide) / std::max(largest(wide), std::numeric_limits<double>::min());
    };
    const double keys = difference(there.keys, fresh.keys), values = difference(there.values, fresh.values);
    const double kl = divergence(model, method, fresh, there, segment);
    // The verdict is on what is stored. NaN compares false with everything: it must not slip through a maximum.
    const double states = memory.form == Form::kHidden ? difference(hidden_from_record(memory), hidden) : std::max(keys, values);
    const bool is_number = !std::isnan(keys) && !std::isnan(values) && !std::isnan(states);
    const double here = is_number ? states : std::numeric_limits<double>::infinity();
    const double tolerance = job.tolerance > 0 ? job.tolerance : least_tolerance + excused(memory);
    if (here > tolerance && failed.empty())
      failed = where(segment.span) + " differs by " + std::to_string(here) + " of its largest value, tolerance " + std::to_string(tolerance);
    most_tolerance = std::max(most_tolerance, tolerance);
    worst = std::max(worst, here), worst_kl = std::isnan(kl) ? std::numeric_limits<double>::infinity() : std::max(worst_kl, kl);
    ++compared;
    io.output->write(to_json_line(Json{{"id", segment.span.document},
                                       {"segment", segment.span.segment},
                                       {"key_difference", keys},
                                       {"value_difference", values},
                                       {"difference", states},
                                       {"tolerance", tolerance},
                                       {"precision", name_of(memory.precision)},
                                       {"kl", kl}}) + "\n");
    io.host->progress(compared, 0, "memories");
    io.host->succeed();
  }
  io.output->write(to_json_line(Json{{"summary", true}, {"file", job.verify}, {"memories", compared}, {"largest_difference", worst},
                                     {"largest_kl", worst_kl}, {"tolerance", most_tolerance}, {"ok", failed.empty()}}) + "\n");
  io.output->flush();
  if (!failed.empty()) throw Error(ErrorKind::kNo, "memories differ", job.verify, failed);
}

}  // namespace uio
