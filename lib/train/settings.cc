#include "train/settings.h"

#include <algorithm>

#include "base/error.h"
#include "train/mixtures.h"

namespace uio {
namespace {

// Settings that no option names: fingerprints of files, and of what options make of them.
bool follows_from_files(const std::string& name) { return name == "corpora" || name == "base" || name == "tokenizer" || name == "adapter_origin"; }

}  // namespace

RunSettings settings_of(const TrainJob& job, const Workshop& shop, const Objectives& objectives, const Estimator& estimator,
                        const std::vector<Corpus>& corpora, std::uint64_t schedule_length) {
  const Optimisation& o = job.optimisation;
  Json model = {{"trainable", job.trainable},
                {"tokenizer", shop.tokenizer->fingerprint()},
                {"dtype", c10::toString(shop.model->placement().computed)},
                {"base", shop.trainable == Trainable::kAdapter ? shop.model->fingerprint() : canonical(shop.model->config())}};
  if (shop.adapter) {
    model["adapter"] = shop.asked_adapter;
    model["adapter_origin"] = shop.adapter_origin;
    bool is_shared = false;
    for (const Parameter& one : shop.parameters->all()) is_shared = is_shared || (one.name == "memory_tokens" && one.value.size(0) == 1);
    model["shared_row"] = is_shared;
  }
  Json objective = {{"loss", job.loss}, {"lm", objectives.lm}, {"autoencode", objectives.autoencode}, {"distill", objectives.distill}, {"estimator", job.estimator}};
  if (objectives.text > 0) objective["text"] = objectives.text;
  if (objectives.autoencode > 0) objective["repeat_prompt"] = job.repeat_prompt;
  if (estimator.sizes.find("window") != std::string_view::npos) objective["window"] = job.window;
  if (estimator.sizes.find("reservoir") != std::string_view::npos) objective["reservoir"] = job.reservoir;
  if (estimator.sizes.find("decay") != std::string_view::npos) objective["decay"] = job.decay;
  if (shop.windows) {
    const MemoryLayers& memory = shop.windows->window.memory;
    objective["crossbatch"] = text_of(job.crossbatch);
    objective["memory_gradient"] = job.memory_gradient ? "on" : "off";
    objective["memory_layers"] = memory.layers;
    objective["mem_positionals"] = memory.has_positions;
    objective["mem_dtype"] = name_of(memory.dtype);
    objective["segment_length"] = shop.windows->config.segment_length;
  }
  Json optimiser = {{"betas", {o.beta1, o.beta2}}, {"epsilon", o.epsilon}, {"weight_decay", o.weight_decay}, {"clip", o.clip}};
  if (o.optimiser != "adamw") optimiser["optimiser"] = o.optimiser;
  Json fingerprints = Json::array();
  for (const Corpus& corpus : corpora) fingerprints.push_back(corpus.fingerprint());
  return {{"model", model},
          {"objective", objective},
          {"optimiser", optimiser},
          {"schedule", {{"lr", o.rate}, {"schedule", o.schedule}, {"warmup", o.warmup}, {"final_lr", o.final_rate}, {"length", schedule_length}}},
          {"data",
           {{"corpora", fingerprints}, {"corpus_weights", job.corpus_weights}, {"accumulate", job.accumulate}, {"batch", job.batch}, {"shuffle", job.shuffle},
            {"document_segments", job.document_segments}}},
          {"random", {{"seed", job.choice.seed}}}};
}

std::vector<std::string> parts_to_reset(const RunSettings& kept, const RunSettings& asked, const std::vector<std::string>& reset, const std::string& state) {
  std::vector<std::string> parts;
  for (const auto& [part, options] : asked.items()) {
    const Json before = kept.value(part, Json::object());
    if (before == options) continue;
    if (part != "model" && std::find(reset.begin(), reset.end(), part) != reset.end()) {
      parts.push_back(part);
      continue;
    }
    std::string difference;
    for (const bool of_files : {false, true})  // an option that was changed also changes what follows from it
      for (const auto& [name, value] : options.items())
        if (difference.empty() && follows_from_files(name) == of_files && (!before.contains(name) || before.at(name) != value))
          difference = "it was made with " + name + " " + (before.contains(name) ? before.at(name).dump() : "absent") + ", now it is " + value.dump();
    for (const auto& [name, value] : before.items())
      if (difference.empty() && !options.contains(name)) difference = "it was made with " + name + " " + value.dump() + ", now without";
    if (difference.empty()) difference = "its settings differ";
    throw Error(ErrorKind::kMismatch, "state of another run", state, difference,
                part == "model" ? "begin a new state" : "--reset " + part + " begins that part anew");
  }
  return parts;
}

}  // namespace uio
