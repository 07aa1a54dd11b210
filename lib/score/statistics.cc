#include "score/statistics.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace uio {
namespace {

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

void Likelihood::add(double logprob) {
  ++tokens;
  nll -= logprob;
  nll_square += logprob * logprob;
}

Likelihood& Likelihood::operator+=(const Likelihood& other) {
  tokens += other.tokens, nll += other.nll, nll_square += other.nll_square, bytes += other.bytes, words += other.words;
  return *this;
}

double Likelihood::mean() const { return tokens ? nll / static_cast<double>(tokens) : std::numeric_limits<double>::quiet_NaN(); }

double Likelihood::standard_error() const {
  if (tokens < 2) return std::numeric_limits<double>::quiet_NaN();
  const double n = static_cast<double>(tokens);
  const double variance = std::max(0.0, nll_square - nll * nll / n) / (n - 1);
  return std::sqrt(variance / n);
}

Json figures(const Likelihood& l) {
  const double per_byte = l.bytes ? l.nll / static_cast<double>(l.bytes) : std::numeric_limits<double>::quiet_NaN();
  const double per_word = l.words ? l.nll / static_cast<double>(l.words) : std::numeric_limits<double>::quiet_NaN();
  const double low = l.mean() - 1.96 * l.standard_error(), high = l.mean() + 1.96 * l.standard_error();
  return Json{{"tokens", l.tokens},
              {"bytes", l.bytes},
              {"words", l.words},
              {"nll", number(l.mean())},
              {"nll_se", number(l.standard_error())},
              {"perplexity", number(std::exp(l.mean()))},
              {"perplexity_interval", Json::array({number(std::exp(low)), number(std::exp(high))})},
              {"word_perplexity", number(std::exp(per_word))},
              {"byte_perplexity", number(std::exp(per_byte))},
              {"bits_per_byte", number(per_byte / std::numbers::ln2)}};
}

std::uint64_t count_words(const std::string& text) {
  std::uint64_t words = 0;
  bool inside = false;
  for (const char c : text) {
    const bool is_space = c == ' ' || (c >= '\t' && c <= '\r');
    if (!is_space && !inside) ++words;
    inside = !is_space;
  }
  return words;
}

}  // namespace uio
