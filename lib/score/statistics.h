// Figures from log-probabilities: means, standard errors, perplexities. Torch-free.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "io/json.h"

namespace uio {

// Sums over scored tokens. Natural logarithms.
struct Likelihood {
  std::uint64_t tokens = 0;      // scored
  double nll = 0, nll_square = 0;  // Σ -log p, Σ (log p)²
  std::uint64_t bytes = 0, words = 0;  // of the scored text

  void add(double logprob);
  Likelihood& operator+=(const Likelihood& other);
  double mean() const;            // nats a token; NaN without tokens
  double standard_error() const;  // of the mean over tokens: sample deviation / √n; NaN below two tokens
};

// {"tokens", "bytes", "words", "nll" (mean), "nll_se", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", …};
// figures that do not exist are null.
Json figures(const Likelihood& likelihood);

// So many of n answers were right.
struct Proportion {
  std::uint64_t right = 0, n = 0;

  void add(bool is_right);
  Proportion& operator+=(const Proportion& other);
  double value() const;  // NaN without any
  // [low, high], 95 %: Wilson's score interval, which holds for few answers and for shares near 0 and 1. Null without any.
  Json interval() const;
};

// Figures of several documents, each counting once.
class Sample {
 public:
  void add(double value);
  std::uint64_t size() const { return n_; }
  double mean() const;            // NaN without any
  double standard_error() const;  // of the mean: sample deviation / √n; NaN below two
  double least() const { return least_; }
  double most() const { return most_; }
  // [low, high], 95 %: mean ± 1.96 standard errors, times `factor`; nulls below two.
  Json interval(double factor = 1) const;

 private:
  std::uint64_t n_ = 0;
  double mean_ = 0, squares_ = 0;  // Σ (value - mean)², updated as values come (Welford 1962)
  double least_ = std::numeric_limits<double>::quiet_NaN(), most_ = least_;
};

// Words of a text: maximal runs without white space (what \s+ splits).
std::uint64_t count_words(const std::string& text);

}  // namespace uio
