#include "train/plan.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"

namespace uio {
namespace {

using Documents = std::vector<Document>;

std::int64_t length_of(const Document& document) { return static_cast<std::int64_t>(document.ids.size()); }

// Tokens [begin, end) of every document, shorter ones filled up.
at::Tensor cut(const Documents& documents, std::int64_t begin, std::int64_t end) {
  at::Tensor ids = at::zeros({static_cast<std::int64_t>(documents.size()), end - begin}, at::kLong);
  for (std::size_t b = 0; b < documents.size(); ++b) {
    std::int64_t* row = ids.mutable_data_ptr<std::int64_t>() + static_cast<std::int64_t>(b) * (end - begin);
    for (std::int64_t i = begin; i < std::min(end, length_of(documents[b])); ++i) row[i - begin] = documents[b].ids[static_cast<std::size_t>(i)];
  }
  return ids;
}

// What a pass is scored on, gathered token by token.
struct Scores {
  std::vector<std::int64_t> rows, targets, positions;
  std::vector<double> weights;

  void add(std::int64_t row, std::int64_t position, const Document& document, double scale) {
    rows.push_back(row);
    positions.push_back(position);
    targets.push_back(document.ids[static_cast<std::size_t>(position)]);
    weights.push_back(document.weights[static_cast<std::size_t>(position)] * scale);
  }
  void move_to(Pass& pass, at::ScalarType dtype) {
    pass.rows = at::tensor(rows, at::kLong);
    pass.targets = at::tensor(targets, at::kLong);
    pass.weights = at::tensor(weights, at::kDouble).to(dtype);
    pass.positions = std::move(positions);
  }
};

double weight_between(const Document& document, std::int64_t begin, std::int64_t end) {
  double sum = 0;
  for (std::int64_t i = begin; i < std::min(end, length_of(document)); ++i) sum += document.weights[static_cast<std::size_t>(i)];
  return sum;
}

// Local text t = tokens [begin, end) of each document, after t memories. Scored are the tokens that it predicts: its own but the
// first, and the first of the next.
Pass next_pass(const Documents& documents, std::int64_t t, std::int64_t begin, std::int64_t end, std::int64_t first_scored, const PlanSettings& settings) {
  Pass pass;
  pass.memories = t;
  pass.ids = cut(documents, begin, end);
  const std::int64_t width = end - begin;
  Scores scores;
  for (std::size_t b = 0; b < documents.size(); ++b) {
    const Document& document = documents[b];
    std::int64_t stop = std::min(end + 1, length_of(document));
    double sum = weight_between(document, first_scored, length_of(document));
    if (settings.is_released) {
      if (length_of(document) < end || width != settings.segment_length) continue;  // a tail
      stop = end;
      sum = weight_between(document, begin + 1, end);
    }
    for (std::int64_t position = begin + 1; position < stop; ++position)
      if (document.weights[static_cast<std::size_t>(position)] > 0)
        scores.add(static_cast<std::int64_t>(b) * width + position - 1 - begin, position, document, settings.share / sum);
  }
  scores.move_to(pass, settings.dtype);
  return pass;
}

// Segment t again, after the memories up to its own.
Pass repeat_pass(const Documents& documents, std::int64_t t, std::int64_t whole, const PlanSettings& settings) {
  const std::int64_t length = settings.segment_length, begin = t * length, rows = static_cast<std::int64_t>(documents.size());
  Pass pass;
  pass.kind = PassKind::kRepeat;
  pass.memories = t + 1;
  const at::Tensor prompt = at::tensor(settings.repeat_prompt, at::kLong).unsqueeze(0).expand({rows, -1});
  pass.ids = at::cat({prompt, cut(documents, begin, begin + length - 1)}, 1);
  const std::int64_t width = pass.ids.size(1), before = prompt.size(1) - 1;
  Scores scores;
  for (std::size_t b = 0; b < documents.size(); ++b)
    for (std::int64_t i = 0; i < length; ++i) {
      scores.add(static_cast<std::int64_t>(b) * width + before + i, begin + i, documents[b], 1);
      scores.weights.back() = settings.objectives.autoencode * settings.share / static_cast<double>(whole * length);
    }
  scores.move_to(pass, settings.dtype);
  return pass;
}

// Tokens [begin, end) of each document without any memory.
Pass text_pass(const Documents& documents, std::int64_t begin, std::int64_t end, PlanSettings settings) {
  settings.is_released = false;
  Pass pass = next_pass(documents, 0, begin, end, 1, settings);
  pass.kind = PassKind::kText;
  pass.weights = pass.weights * settings.objectives.text;
  return pass;
}

}  // namespace

Objectives objectives_of(const std::string& objective, const std::vector<std::pair<std::string, double>>& mix) {
  Objectives chosen;
  const auto set = [&](const std::string& name, double weight) {
    if (weight <= 0) throw Error(ErrorKind::kUsage, "bad weight of an objective", name, "expected a number above 0");
    if (name == "lm" || name == "crossbatch") chosen.lm = weight;
    else if (name == "autoencode") chosen.autoencode = weight;
    else if (name == "distill") chosen.distill = weight;
    else if (name == "text") chosen.text = weight;
    else throw Error(ErrorKind::kUsage, "no such objective", name, "expected lm, autoencode, distill, text or mix");
  };
  if (objective != "mix") set(objective, 1);
  for (const auto& [name, weight] : mix) set(name, weight);
  return chosen;
}

Document document_of(const Corpus& corpus, const Piece& piece) {
  Document document;
  document.ids.assign(corpus.tokens(piece), corpus.tokens(piece) + piece.size);
  for (std::uint64_t i = 0; i < piece.size; ++i) document.weights.push_back(corpus.weight(piece, i));
  return document;
}

std::pair<std::int64_t, std::int64_t> shape_of(const Document& document, const PlanSettings& settings) {
  if (!settings.has_memories) return {1, 0};
  const std::int64_t length = settings.segment_length, size = length_of(document);
  return {(size + length - 1) / length, settings.objectives.autoencode > 0 ? size / length : 0};
}

Plan make_plan(const std::vector<Document>& documents, const PlanSettings& settings) {
  const auto [locals, whole] = shape_of(documents.front(), settings);
  std::int64_t longest = 0;
  Plan plan;
  for (const Document& document : documents) {
    if (shape_of(document, settings) != std::pair(locals, whole)) throw Error(ErrorKind::kInternal, "documents of different shapes side by side", "", "");
    longest = std::max(longest, length_of(document));
    plan.tokens += length_of(document);
  }
  plan.documents = static_cast<std::int64_t>(documents.size());
  const std::int64_t length = settings.has_memories ? settings.segment_length : longest;
  // Scored tokens begin with the second segment's: the first is read without any memory, which teaches an adapter nothing.
  const std::int64_t first_local = settings.has_memories && !settings.trains_base ? 1 : 0;
  const std::int64_t first_scored = first_local == 0 ? 1 : length + 1;

  const bool reads_on = settings.objectives.lm > 0 || settings.objectives.distill > 0;
  for (std::int64_t t = 0; t < locals; ++t) {
    const std::int64_t begin = t * length, end = std::min(longest, begin + length);
    if (reads_on) {
      plan.local.push_back(cut(documents, begin, end));
      if (t >= first_local) {
        Pass pass = next_pass(documents, t, begin, end, first_scored, settings);
        if (settings.objectives.distill > 0) pass.soft_weights = pass.weights * settings.objectives.distill;
        pass.weights = settings.objectives.lm > 0 ? pass.weights * settings.objectives.lm : at::Tensor();
        if (pass.rows.numel() > 0) plan.passes.push_back(std::move(pass));
      }
    }
    if (t < whole && settings.objectives.autoencode > 0) plan.passes.push_back(repeat_pass(documents, t, whole, settings));
  }
  for (std::int64_t begin = 0; settings.objectives.text > 0 && begin < longest; begin += settings.capacity) {
    Pass pass = text_pass(documents, begin, std::min(longest, begin + settings.capacity), settings);
    if (pass.rows.numel() > 0) plan.passes.push_back(std::move(pass));
  }
  std::int64_t memories = 0;
  for (const Pass& pass : plan.passes) {
    memories = std::max(memories, pass.memories);
    plan.scored += pass.rows.numel();
  }
  std::stable_sort(plan.passes.begin(), plan.passes.end(), [](const Pass& a, const Pass& b) { return a.memories < b.memories; });
  for (std::int64_t s = 0; s < memories; ++s) plan.segments.push_back(cut(documents, s * length, (s + 1) * length));
  return plan;
}

}  // namespace uio
