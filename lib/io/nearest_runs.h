// The scales and whole numbers that come nearest to runs of items, eight runs side by side (uio-memory(5), PAYLOAD).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace uio {

inline constexpr std::size_t kRun = 32;    // items that share a scale, at most
inline constexpr std::size_t kSideBySide = 8;  // runs
inline constexpr int kBias = 127;          // of a scale's exponent; a stored 0 is the scale 0

// A scale is (1 + f/steps) · 2^(e - 127): with so few bits that its product with a number is exact in every dtype.
struct Kind {
  int greatest;  // of the numbers; they are symmetric
  int steps;     // of a scale between two powers of two
};

// The range of a scale's stored exponent: every product of scale and number lies within the dtype, on its grid.
struct Exponents {
  int least, greatest;
};

inline constexpr double kLeastShare = 0.6;  // of the largest item that the largest number may stand for: what is above is cut
inline constexpr std::size_t kTried = 24;   // scales of a run, at most: less than 1.75 octaves of 8

double scale_of(const Kind& kind, int exponent, int step);

// The i-th items of all runs lie side by side. Shorter runs are filled up with 0.
struct Runs {
  double items[kRun][kSideBySide];  // of 24 bits each
  int exponent[kSideBySide], step[kSideBySide];
  std::int8_t numbers[kRun][kSideBySide];
};

// Fills in of each run the allowed form with the smallest sum of squared differences; of equal ones that with the smallest scale. What was chosen once is therefore
// chosen again for its own result: that has difference 0, and a smaller scale with the same result would have won. All arithmetic that this rests on is exact: items
// have 24 bits, a product of scale and number at most 8. The same bits with every instruction set.
void find_nearest(Runs& runs, const Kind& kind, const Exponents& exponents);

// The builds of it, that of this machine first.
using FindNearest = void (*)(Runs& runs, const Kind& kind, const Exponents& exponents);
std::span<const FindNearest> nearest_builds();

}  // namespace uio
