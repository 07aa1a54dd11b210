#include "cli/training.h"

#include <algorithm>

#include "base/error.h"

namespace uio::cli {
namespace {

[[noreturn]] void refuse(const std::string& what, const std::string& reason, const std::string& hint) {
  throw Error(ErrorKind::kUsage, what, "", reason, hint);
}

// An option that means nothing without another.
struct Need {
  const char* option;
  const char* missing;
  bool is_met;
  const char* reason;
};

void check_needs(const Settings& settings) {
  const TrainJob& job = settings.train;
  const bool is_mix = job.objective == "mix";
  const bool repeats =
      job.objective == "autoencode" ||
      (is_mix && std::any_of(job.mix.begin(), job.mix.end(), [](const auto& part) { return part.first == "autoencode"; }));
  const bool crosses = job.objective == "crossbatch";
  const Need needs[] = {
      {"crossbatch", "--objective crossbatch", crosses, "nothing else reads other documents"},
      {"memory-gradient", "--objective crossbatch", crosses, "nothing else has a memory of raw keys and values"},
      {"memory-layers", "--objective crossbatch", crosses, "nothing else trains memory layers"},
      {"save-every", "--state FILE", !job.state.empty(), "nothing is saved"},
      {"reset", "--state FILE", !job.state.empty(), "there is nothing to begin anew"},
      {"mix", "--objective mix", is_mix, "one objective has no weights"},
      {"repeat-prompt", "--objective autoencode", repeats, "nothing is repeated"},
      {"export-dtype", "--export DIR", !job.export_directory.empty(), "nothing is exported"},
      {"validate-every", "--validate FILE", !job.validate.empty(), "there is nothing to validate on"},
      {"final-lr", "--schedule cosine or linear", job.optimisation.schedule != "constant", "a constant rate stays where it is"},
  };
  for (const Need& need : needs)
    if (settings.given.contains(need.option) && !need.is_met)
      refuse(std::string("--") + need.option + " without " + need.missing, need.reason,
             std::string("add ") + need.missing + ", or leave it out");
  if (is_mix && job.mix.empty())
    refuse("--objective mix without --mix", "it names the objectives and their weights",
           "for example --mix lm=1,autoencode=0.5");
}

// Memory layers have no adapter, and one gradient.
void check_crossbatch(const Settings& settings) {
  const TrainJob& job = settings.train;
  if (job.objective != "crossbatch") return;
  if (job.trainable != "base") refuse("--objective crossbatch without --trainable base", "memory layers are the base's own", "add --trainable base");
  if (job.estimator != "exact")
    refuse("--objective crossbatch with --estimator " + job.estimator, "its gradient is exact", "leave --estimator out");
  std::uint32_t most = 0;
  for (const CrossPhase& phase : job.crossbatch)
    for (const auto& mixtures : phase.choices)
      for (const Mixture& one : mixtures) most = std::max(most, one.negatives);
  if (most >= job.accumulate)
    refuse("--crossbatch asks for more documents than a step has", std::to_string(most) + " others, a step has " + std::to_string(job.accumulate),
           "add --accumulate " + std::to_string(most + 1));
}

// One weight an input; without operands, standard input is the one.
void check_corpora(const Settings& settings) {
  const std::size_t inputs = std::max<std::size_t>(settings.operands.size(), 1), weights = settings.train.corpus_weights.size();
  if (weights > 0 && weights != inputs)
    refuse("--corpus-weights does not fit the operands",
           "expected one weight for each of " + std::to_string(inputs) + ", found " + std::to_string(weights), "");
}

// Standard input can be read once.
void check_standard_input(const Settings& settings) {
  const auto& texts = settings.train.validate;
  const auto uses = std::count(settings.operands.begin(), settings.operands.end(), "-") +
                    std::count(texts.begin(), texts.end(), "-") + (settings.operands.empty() ? 1 : 0);
  if (uses > 1) refuse("standard input is asked for twice", "it can be read once", "name a file for one of them");
}

// Each of these files is replaced as a whole, so that the last would be the only one.
void check_files(const Settings& settings) {
  const TrainJob& job = settings.train;
  const std::string& output = settings.output == "-" ? std::string() : settings.output;
  for (const auto& [one, other] : {std::pair{job.state, job.gradients}, {job.state, output}, {job.gradients, output}})
    if (!one.empty() && one == other)
      throw Error(ErrorKind::kUsage, "one file for two outputs", one, "", "name another for one of them");
}

}  // namespace

void check_training(const Settings& settings) {
  if (settings.lines && settings.jsonl) refuse("--lines and --jsonl exclude each other", "", "");
  check_needs(settings);
  check_crossbatch(settings);
  check_corpora(settings);
  check_standard_input(settings);
  check_files(settings);
}

void check_shape(const Settings& settings, const std::string& adapter) {
  if (adapter == "fresh") return;
  for (const char* option : {"rank", "alpha", "encoder-targets", "transfer-targets", "mask", "positions", "shared-row"})
    if (settings.given.contains(option))
      refuse(std::string("--") + option + " without a fresh adapter", "an adapter has its own",
             "add --init adapter, or leave it out");
}

}  // namespace uio::cli
