// Random numbers that depend on what they are for, never on what was drawn before elsewhere: (seed, purpose, number) names a
// stream, so that a run that is cut and taken up again draws the same without any state to keep.
#pragma once

#include <cstdint>
#include <string_view>

namespace uio {

// The next number of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): every bit of `state` changes every bit of it.
std::uint64_t split_mix(std::uint64_t& state);

// xoshiro256** (Blackman, Vigna 2018), seeded through splitmix64.
class Random {
 public:
  Random(std::uint64_t seed, std::string_view purpose, std::uint64_t number = 0);
  std::uint64_t next();
  double uniform();                         // [0, 1), 53 bits
  std::uint64_t below(std::uint64_t bound); // 0 … bound-1, each equally likely; bound ≥ 1

 private:
  std::uint64_t state_[4];
};

}  // namespace uio
