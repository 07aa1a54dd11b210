// Strict readers of option values.
#include "cli/numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace uio::cli {
namespace {

constexpr double kGreatestWeight = 1e9;

[[noreturn]] void refuse(const std::string& option, const std::string& text, const std::string& expected) {
  throw Error(ErrorKind::kUsage, "bad value of " + option, text, "expected " + expected);
}

// Shortest decimal form: 0.5, not 0.500000.
std::string shown(double value) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return {buffer, end};
}

void need_one_above_zero(const std::string& option, const std::string& text, const std::vector<double>& weights) {
  if (std::none_of(weights.begin(), weights.end(), [](double weight) { return weight > 0; }))
    refuse(option, text, "one weight that is more than 0");
}

}  // namespace

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  if (text.empty()) return parts;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find(separator, begin)) != std::string::npos; begin = end + 1)
    parts.push_back(text.substr(begin, end - begin));
  parts.push_back(text.substr(begin));
  return parts;
}

std::uint64_t parse_whole(const std::string& option, const std::string& text, std::uint64_t least, std::uint64_t most) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, value);
  if (failure != std::errc() || stop != end || value < least || value > most)
    refuse(option, text, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  return value;
}

std::uint64_t parse_size(const std::string& option, const std::string& text) {
  static const std::string kUnits = "KMGT";
  const std::size_t unit = text.empty() ? std::string::npos : kUnits.find(text.back());
  const int shift = unit == std::string::npos ? 0 : 10 * static_cast<int>(unit + 1);
  const std::string digits = shift ? text.substr(0, text.size() - 1) : text;
  std::uint64_t number = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (digits.empty() || failed != std::errc() || end != digits.data() + digits.size() || number == 0 || number > (UINT64_MAX >> 1 >> shift))
    refuse(option, text, "a number of bytes from 1 on, like 500M");
  return number << shift;
}

double parse_real(const std::string& option, const std::string& text, double least, double most) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, value);
  // from_chars takes "inf" and "nan"; a range takes care of the first only.
  if (failure != std::errc() || stop != end || !std::isfinite(value) || value < least || value > most)
    refuse(option, text, "a number from " + shown(least) + " to " + shown(most));
  return value;
}

const std::string& parse_choice(const std::string& option, const std::string& text, const std::string& choices) {
  const auto names = split(choices, '|');
  if (std::find(names.begin(), names.end(), text) == names.end()) refuse(option, text, choices);
  return text;
}

std::vector<std::string> parse_choices(const std::string& option, const std::string& text, const std::string& choices) {
  auto chosen = split(text, ',');
  if (chosen.empty()) refuse(option, text, "a list of " + choices + ", separated by commas");
  for (auto one = chosen.begin(); one != chosen.end(); ++one) {
    parse_choice(option, *one, choices);
    if (std::find(chosen.begin(), one, *one) != one) refuse(option, text, "each name once, found " + *one + " twice");
  }
  return chosen;
}

std::vector<double> parse_reals(const std::string& option, const std::string& text, double least, double most) {
  std::vector<double> values;
  for (const std::string& one : split(text, ',')) values.push_back(parse_real(option, one, least, most));
  if (values.empty()) refuse(option, text, "numbers from " + shown(least) + " to " + shown(most) + ", separated by commas");
  return values;
}

std::vector<double> parse_weights(const std::string& option, const std::string& text) {
  auto weights = parse_reals(option, text, 0, kGreatestWeight);
  need_one_above_zero(option, text, weights);
  return weights;
}

std::vector<std::pair<std::string, double>> parse_weighted_choices(const std::string& option, const std::string& text,
                                                                   const std::string& choices) {
  std::vector<std::pair<std::string, double>> chosen;
  std::vector<double> weights;
  std::string names;
  for (const std::string& one : split(text, ',')) {
    const std::size_t equals = one.find('=');
    if (equals == std::string::npos) refuse(option, one, "a name of " + choices + " and its weight, like lm=1");
    weights.push_back(parse_real(option, one.substr(equals + 1), 0, kGreatestWeight));
    chosen.emplace_back(one.substr(0, equals), weights.back());
    names += (names.empty() ? "" : ",") + chosen.back().first;
  }
  parse_choices(option, names, choices);
  need_one_above_zero(option, text, weights);
  return chosen;
}

const std::string& parse_device(const std::string& option, const std::string& text) {
  if (text == "auto" || text == "cpu" || text == "cuda") return text;
  const std::string prefix = "cuda:";
  unsigned index = 0;
  const char* end = text.data() + text.size();
  if (text.starts_with(prefix) && text.size() <= prefix.size() + 3) {
    const auto [stop, failure] = std::from_chars(text.data() + prefix.size(), end, index);
    if (failure == std::errc() && stop == end) return text;
  }
  refuse(option, text, "auto, cpu, cuda or cuda:N");
}

}  // namespace uio::cli
