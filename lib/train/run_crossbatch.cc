// The steps of a run with --objective crossbatch: documents that see each other are one gradient.
#include <algorithm>
#include <optional>

#include "train/mixtures.h"
#include "train/run.h"

namespace uio {
namespace {

constexpr double kSeenAtOnce = 1e9;  // bytes of gradients of keys and values that a batch of windows sees

}  // namespace

// `mine`: those of `documents` that are computed here, the first of which has the number `first` in the run.
Crossbatch Run::open(const std::vector<Batch>& mine, std::vector<CrossDocument> documents, std::uint64_t first, Processes& processes, LossTally& tally) const {
  std::vector<CrossRows> rows;
  std::int64_t widest = 0;
  for (const Batch& batch : mine) {
    CrossRows one{make_plan(batch.documents, plan_settings(documents.size())), {}};
    for (const std::uint64_t number : batch.numbers) one.documents.push_back(number - first);
    for (const at::Tensor& text : one.plan.local) widest = std::max(widest, text.numel());
    rows.push_back(std::move(one));
  }
  return Crossbatch(trainee(widest), shop_.windows->window, shop_.windows->config.segment_length, std::move(documents), std::move(rows), processes, tally);
}

const std::vector<Mixture>& Run::mixtures() const { return mixtures_at(job_.crossbatch, job_.choice.seed, progress_.step); }

Run::Gradient Run::cross_gradient(const std::vector<DataOrder::Pick>& all, const std::vector<DataOrder::Pick>& mine) {
  Gradient result;
  shop_.parameters->clear_gradients();
  const std::vector<Mixture>& dealt = mixtures();
  std::vector<CrossDocument> documents;
  std::int64_t most = 1;  // windows that one sees
  for (const DataOrder::Pick& pick : all) {
    documents.push_back({static_cast<std::int64_t>(corpora_[pick.corpus].pieces()[pick.piece].size), dealt[pick.number % dealt.size()]});
    most = std::max<std::int64_t>(most, documents.back().mixture.positives + documents.back().mixture.negatives);
  }
  const PlanSettings plan = plan_settings(all.size());
  // The gradients of what a batch sees are there at once, for each row its own.
  const ModelConfig& c = shop_.model->config();
  const double seen = 2.0 * static_cast<double>(shop_.windows->window.memory.layers.size()) * static_cast<double>(c.kv_heads * c.head_size) *
                      static_cast<double>(most * plan.segment_length) * static_cast<double>(c10::elementSize(shop_.model->placement().residual()));
  const std::int64_t at_once = std::clamp<std::int64_t>(static_cast<std::int64_t>(kSeenAtOnce / seen), 1, texts_at_once(plan.segment_length));
  std::optional<Crossbatch> cross;
  processes_.together([&] {
    const std::vector<Batch> batches = batches_of(mine, corpora_, plan, job_.batch > 0 ? job_.batch : at_once);
    cross.emplace(open(batches, std::move(documents), all.front().number, processes_, result.tally));
  });
  result.loss = cross->gradient(job_.memory_gradient);
  for (const CrossRows& rows : cross->rows()) {
    result.tokens += rows.plan.tokens;
    result.scored += rows.plan.scored;
  }
  return result;
}

// A document through its memory as uio-score reads it: all its windows before one, and nothing else.
double Run::read_alone(Batch batch, LossTally& tally) const {
  const auto length = static_cast<std::int64_t>(batch.documents.front().ids.size());
  Processes alone;
  batch.numbers = {0};
  return open({std::move(batch)}, {{length, {static_cast<std::uint32_t>(length), 0}}}, 0, alone, tally).loss();
}

}  // namespace uio
