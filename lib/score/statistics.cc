#include "score/statistics.h"

#include <algorithm>
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

void Proportion::add(bool is_right) {
  right += is_right;
  ++n;
}

Proportion& Proportion::operator+=(const Proportion& other) {
  right += other.right, n += other.n;
  return *this;
}

double Proportion::value() const { return n ? static_cast<double>(right) / static_cast<double>(n) : std::numeric_limits<double>::quiet_NaN(); }

Json Proportion::interval() const {
  if (n == 0) return nullptr;
  constexpr double z = 1.96;
  const double count = static_cast<double>(n), share = value(), scale = 1 + z * z / count;
  const double middle = (share + z * z / (2 * count)) / scale;
  const double width = z / scale * std::sqrt(share * (1 - share) / count + z * z / (4 * count * count));
  return Json::array({right == 0 ? 0.0 : middle - width, right == n ? 1.0 : middle + width});
}

void Sample::add(double value) {
  ++n_;
  const double before = value - mean_;
  mean_ += before / static_cast<double>(n_);
  squares_ += before * (value - mean_);
  least_ = n_ == 1 ? value : std::min(least_, value);
  most_ = n_ == 1 ? value : std::max(most_, value);
}

double Sample::mean() const { return n_ ? mean_ : std::numeric_limits<double>::quiet_NaN(); }

double Sample::standard_error() const {
  if (n_ < 2) return std::numeric_limits<double>::quiet_NaN();
  const double n = static_cast<double>(n_);
  return std::sqrt(squares_ / (n - 1) / n);
}

Json Sample::interval(double factor) const {
  const double error = 1.96 * standard_error();
  return Json::array({number(factor * (mean() - error)), number(factor * (mean() + error))});
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
