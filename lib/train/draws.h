// The random decisions of sampled estimators, as an interface: a run draws them from its seed, a test walks through all of them.
#pragma once

#include <cstdint>
#include <span>

#include "base/random.h"

namespace uio {

class Draws {
 public:
  virtual ~Draws() = default;
  // True with probability p, 0 < p < 1.
  virtual bool happens(double p) = 0;
  // One of 0 … n-1, each equally likely; n ≥ 2.
  virtual std::int64_t one_of(std::int64_t n) = 0;
  // An index with the given probabilities, which add up to 1.
  virtual std::int64_t weighted(std::span<const double> probabilities) = 0;
};

class SeededDraws : public Draws {
 public:
  // A stream of its own for each document of a run.
  SeededDraws(std::uint64_t seed, std::uint64_t document) : random_(seed, "estimator", document) {}
  bool happens(double p) override { return random_.uniform() < p; }
  std::int64_t one_of(std::int64_t n) override { return static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(n))); }
  std::int64_t weighted(std::span<const double> probabilities) override {
    double left = random_.uniform();
    std::size_t last = 0;  // the last that can be drawn: rounding may leave a remainder
    for (std::size_t i = 0; i < probabilities.size(); ++i) {
      if (probabilities[i] <= 0) continue;
      last = i;
      if (left < probabilities[i]) break;
      left -= probabilities[i];
    }
    return static_cast<std::int64_t>(last);
  }

 private:
  Random random_;
};

}  // namespace uio
