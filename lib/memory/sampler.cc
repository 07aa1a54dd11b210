#include "memory/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "base/error.h"

namespace uio {

void check_sampling(const Sampling& s) {
  const auto demand = [](bool holds, const char* option, double value, const char* range) {
    if (!holds) throw Error(ErrorKind::kUsage, "option out of range", option, std::to_string(value) + ", expected " + range);
  };
  demand(std::isfinite(s.temperature) && s.temperature >= 0, "temperature", s.temperature, "0 or more");
  demand(s.top_k >= 0, "top_k", s.top_k, "0 or more");
  demand(s.top_p > 0 && s.top_p <= 1, "top_p", s.top_p, "more than 0, up to 1");
  demand(s.min_p >= 0 && s.min_p <= 1, "min_p", s.min_p, "0 to 1");
  demand(std::isfinite(s.repeat_penalty) && s.repeat_penalty > 0, "repeat_penalty", s.repeat_penalty, "more than 0");
}

Sampler::Sampler(const Sampling& sampling, std::uint64_t seed) : sampling_(sampling), random_(seed) { check_sampling(sampling); }

std::int32_t Sampler::choose(std::span<const float> given) {
  std::vector<double> logits(given.begin(), given.end());
  if (sampling_.repeat_penalty != 1) {
    for (const std::int32_t token : seen_) {
      double& logit = logits[static_cast<std::size_t>(token)];
      logit = logit > 0 ? logit / sampling_.repeat_penalty : logit * sampling_.repeat_penalty;
    }
  }
  if (sampling_.temperature == 0)
    return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());

  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto more = [&](std::int32_t a, std::int32_t b) {
    const double x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
    return x > y || (x == y && a < b);
  };
  std::size_t keep = order.size();
  if (sampling_.top_k > 0) keep = std::min(keep, static_cast<std::size_t>(sampling_.top_k));
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(keep), order.end(), more);

  const double highest = logits[static_cast<std::size_t>(order[0])];
  std::vector<double> weight(keep);
  double total = 0;
  for (std::size_t i = 0; i < keep; ++i)
    total += weight[i] = std::exp((logits[static_cast<std::size_t>(order[i])] - highest) / sampling_.temperature);
  if (sampling_.top_p < 1) {  // the smallest set of the likeliest that holds top_p of the mass
    double mass = 0;
    std::size_t count = 0;
    while (count < keep && mass < sampling_.top_p * total) mass += weight[count++];
    keep = std::max<std::size_t>(count, 1);
  }
  while (keep > 1 && weight[keep - 1] < sampling_.min_p * weight[0]) --keep;

  total = std::accumulate(weight.begin(), weight.begin() + static_cast<std::ptrdiff_t>(keep), 0.0);
  double draw = static_cast<double>(random_() >> 11) * 0x1p-53 * total;
  for (std::size_t i = 0; i < keep; ++i) {
    if (draw < weight[i]) return order[i];
    draw -= weight[i];
  }
  return order[keep - 1];
}

}  // namespace uio
