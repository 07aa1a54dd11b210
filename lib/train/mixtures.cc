#include "train/mixtures.h"

#include "base/random.h"

namespace uio {

const std::vector<Mixture>& mixtures_at(const std::vector<CrossPhase>& schedule, std::uint64_t seed, std::uint64_t step) {
  std::size_t now = 0;
  while (now + 1 < schedule.size() && schedule[now + 1].begin <= step) ++now;
  const auto& choices = schedule[now].choices;
  return choices.size() == 1 ? choices.front() : choices[Random(seed, "crossbatch", step).below(choices.size())];
}

double mean_of(const std::vector<Mixture>& mixtures) {
  double sum = 0;
  for (const Mixture& one : mixtures) sum += one.positives + one.negatives;
  return sum / static_cast<double>(mixtures.size());
}

std::string text_of(const std::vector<Mixture>& mixtures) {
  std::string text;
  for (const Mixture& one : mixtures) text += (text.empty() ? "" : ",") + std::to_string(one.positives) + "+" + std::to_string(one.negatives);
  return text;
}

std::string text_of(const std::vector<CrossPhase>& schedule) {
  std::string text;
  for (const CrossPhase& phase : schedule) {
    std::string choices;
    for (const auto& mixtures : phase.choices) choices += (choices.empty() ? "" : "/") + text_of(mixtures);
    text += (text.empty() ? "" : ",") + choices + (schedule.size() > 1 ? "@" + std::to_string(phase.begin) : "");
  }
  return text;
}

}  // namespace uio
