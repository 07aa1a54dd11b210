// Figures from log-probabilities: means, standard errors, perplexities. Torch-free.
#pragma once

#include <cstdint>
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

// Words of a text: maximal runs without white space (what \s+ splits).
std::uint64_t count_words(const std::string& text);

}  // namespace uio
