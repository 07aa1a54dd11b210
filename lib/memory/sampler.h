// The choice of the next token. Torch-free.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <unordered_set>
#include <vector>

#include "io/jobs.h"

namespace uio {

// Draws from logits: repeat penalty, then temperature, top-k, top-p, min-p in that order (the order of transformers).
// The same seed and logits give the same tokens. Temperature 0 takes the greatest logit, the lowest id of equals.
class Sampler {
 public:
  Sampler(const Sampling& sampling, std::uint64_t seed);
  // The token has been seen: the repeat penalty applies to it from now on.
  void note(std::int32_t token) { seen_.insert(token); }
  std::int32_t choose(std::span<const float> logits);

 private:
  Sampling sampling_;
  std::mt19937_64 random_;
  std::unordered_set<std::int32_t> seen_;
};

// Throws Error{kUsage} naming the option that is out of range.
void check_sampling(const Sampling& sampling);

}  // namespace uio
