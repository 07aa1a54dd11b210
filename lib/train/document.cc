#include "train/document.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "kernels/attention.h"
#include "kernels/cross_entropy.h"
#include "memory/context.h"
#include "memory/local_parts.h"
#include "model/recompute.h"

namespace uio {
namespace {

using kernels::AttentionPart;
using kernels::Visible;

std::size_t bucket_of(std::int64_t position) {
  std::size_t bucket = 0;
  for (std::int64_t edge = LossTally::kFirstBucket; position >= edge; edge *= 2) ++bucket;
  return bucket;
}

// Positions that the passes use.
std::int64_t positions_of(const Trainee& trainee, const Plan& plan) {
  std::int64_t most = 1;
  for (const Pass& pass : plan.passes)
    most = std::max(most, pass.memories * (trainee.method ? trainee.method->memory_length() : 0) + pass.ids.size(1));
  check_capacity(trainee.model, most, "a document of " + std::to_string(plan.segments.size() + 1) + " segments");
  return most;
}

}  // namespace

void LossTally::add(const Pass& pass, const at::Tensor& log_probabilities) {
  const at::Tensor scores = log_probabilities.to(at::kCPU, at::kDouble).contiguous();
  const double* score = scores.const_data_ptr<double>();
  for (std::size_t i = 0; i < pass.positions.size(); ++i) {
    Part& whole = pass.kind == PassKind::kNext ? next : pass.kind == PassKind::kRepeat ? repeat : text;
    whole.sum -= score[i];
    ++whole.n;
    if (pass.kind != PassKind::kNext) continue;
    const std::size_t bucket = bucket_of(pass.positions[i]);
    if (by_position.size() <= bucket) by_position.resize(bucket + 1);
    by_position[bucket].sum -= score[i];
    ++by_position[bucket].n;
  }
}

void LossTally::add(const LossTally& other) {
  const auto join = [](Part& a, const Part& b) {
    a.sum += b.sum;
    a.n += b.n;
  };
  join(next, other.next);
  join(repeat, other.repeat);
  join(text, other.text);
  if (by_position.size() < other.by_position.size()) by_position.resize(other.by_position.size());
  for (std::size_t i = 0; i < other.by_position.size(); ++i) join(by_position[i], other.by_position[i]);
}

at::Tensor scored_loss(const Model& model, const Pass& pass, const at::Tensor& rows, LossTally& tally) {
  const auto device = model.placement().device;
  const kernels::CrossEntropy scored = kernels::cross_entropy(rows, model.head(), pass.targets.to(device), pass.weights.to(device));
  tally.add(pass, scored.log_probabilities);
  return scored.loss;
}

ModelDocument::ModelDocument(const Trainee& trainee, Plan plan, LossTally& tally)
    : trainee_(trainee),
      plan_(std::move(plan)),
      tally_(tally),
      rope_(trainee.model.config(), positions_of(trainee_, plan_), trainee.model.placement().computed, trainee.model.placement().device) {
  for (const Pass& pass : plan_.passes) visible_.push_back(pass.memories);
  const bool has_teacher = std::any_of(plan_.passes.begin(), plan_.passes.end(), [](const Pass& pass) { return pass.soft_weights.defined(); });
  if (has_teacher) ask_teacher();
}

at::Tensor ModelDocument::encode(std::int64_t s, std::span<const at::Tensor> earlier) {
  const RecomputeScope scope(trainee_.recompute);
  return trainee_.method->encode(plan_.segments[static_cast<std::size_t>(s)], earlier);
}

Tensors ModelDocument::transfer(std::int64_t s, const at::Tensor& memory) {
  const KeysValues read = trainee_.method->transfer(memory);
  const auto computed = trainee_.model.placement().computed;
  const Tensors keys = read.keys.unbind(1), values = read.values.unbind(1);
  Tensors seen;
  for (std::size_t l = 0; l < keys.size(); ++l) {
    seen.push_back(rope_.rotate(keys[l].to(computed), s * slots()));
    seen.push_back(values[l].to(computed));
  }
  return seen;
}

at::Tensor ModelDocument::attend(std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& memory_keys,
                                 const at::Tensor& memory_values) const {
  const ModelConfig& config = trainee_.model.config();
  const std::int64_t before = memory_keys.defined() ? memory_keys.size(kMemoryAxis) : 0, count = q.size(1);
  const std::int64_t window = config.sliding[static_cast<std::size_t>(layer)];
  const at::Tensor queries = rope_.rotate(q.transpose(1, 2), before), keys = rope_.rotate(k.transpose(1, 2), before), values = v.transpose(1, 2);
  const double scale = config.score_scale();
  AttentionPart memory{queries, memory_keys, memory_values, Visible::kAll, {}}, own{queries, keys, values, Visible::kCausal, {}};
  if (window > 0 && before + count > window) {
    const at::Tensor seen = window_mask(before, count, 0, before + count, window, queries.device());
    memory.visible = own.visible = Visible::kMask;
    memory.mask = seen.narrow(1, 0, before).contiguous();
    own.mask = seen.narrow(1, before, count).contiguous();
  }
  std::vector<AttentionPart> parts;
  if (before > 0) parts.push_back(memory);
  parts.push_back(own);
  return kernels::attention(parts, scale).transpose(1, 2).flatten(2);
}

at::Tensor ModelDocument::layer(std::int64_t layer, const at::Tensor& x, const at::Tensor& memory_keys, const at::Tensor& memory_values) const {
  return trainee_.model.layer(layer, x, [&](std::int64_t l, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    return attend(l, q, k, v, memory_keys, memory_values);
  });
}

at::Tensor ModelDocument::loss(std::int64_t j, const Tensors& carried) {
  const RecomputeScope scope(trainee_.recompute);
  const Model& model = trainee_.model;
  const Pass& pass = plan_.passes[static_cast<std::size_t>(j)];
  const auto device = model.placement().device;
  at::Tensor x = model.embed(pass.ids);
  for (std::int64_t l = 0; l < model.config().layers; ++l) {
    const auto i = static_cast<std::size_t>(2 * l);
    const bool has_memory = i < carried.size() && carried[i].defined();
    x = recompute([this, l](const at::Tensor& x, const at::Tensor& keys, const at::Tensor& values) { return layer(l, x, keys, values); }, x,
                  has_memory ? carried[i] : at::Tensor(), has_memory ? carried[i + 1] : at::Tensor());
  }
  // Only rows that are scored go on: the head is the widest product of all.
  const at::Tensor rows = model.final_norm(x.flatten(0, 1).index_select(0, pass.rows.to(device)));
  at::Tensor total;
  if (pass.weights.defined()) total = scored_loss(model, pass, rows, tally_);
  if (pass.soft_weights.defined()) {
    const at::Tensor soft = kernels::cross_entropy_soft(rows, model.head(), pass.teacher, model.head(), pass.soft_weights.to(device));
    total = total.defined() ? total + soft : soft;
    if (!pass.weights.defined()) {
      const at::NoGradGuard no_gradients;
      tally_.add(pass, model.log_probabilities(rows.detach(), pass.targets));
    }
  }
  return total;
}

void ModelDocument::ask_teacher() {
  const at::NoGradGuard no_gradients;
  const Model& model = trainee_.model;
  const std::int64_t capacity = model.config().capacity(), batch = plan_.local.front().size(0);
  std::int64_t t = 0;
  std::unique_ptr<DecoderContext> context;
  std::vector<at::Tensor> final_rows;  // of each local text
  for (const at::Tensor& text : plan_.local) {
    if (!context || context->length() + text.size(1) > capacity) {
      // No room for this text: the latest whole segments that leave room for it are read again.
      context = std::make_unique<DecoderContext>(model, capacity, batch);
      std::int64_t from = t, length = text.size(1);
      while (from > 0 && length + plan_.local[static_cast<std::size_t>(from - 1)].size(1) <= capacity / 2) length += plan_.local[static_cast<std::size_t>(--from)].size(1);
      for (; from < t; ++from) context->add_tokens(plan_.local[static_cast<std::size_t>(from)]);
    }
    final_rows.push_back(model.final_norm(context->add_tokens(text).flatten(0, 1)));
    ++t;
  }
  for (Pass& pass : plan_.passes)
    if (pass.soft_weights.defined())
      pass.teacher = final_rows[static_cast<std::size_t>(pass.memories)].index_select(0, pass.rows.to(model.placement().device));
}

}  // namespace uio
