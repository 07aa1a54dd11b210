// Strict readers of option values.
#include "cli/numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace uio::cli {
namespace {

constexpr double kGreatestWeight = 1e9;
constexpr std::uint64_t kMostWindows = 1 << 16;  // that a window sees
constexpr std::uint64_t kMostSteps = 1ull << 40;

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

// A number from 1 on, perhaps with a unit behind it.
std::uint64_t scaled(const std::string& option, const std::string& text, const std::string& expected) {
  static const std::string kUnits = "KMGT";
  const std::size_t unit = text.empty() ? std::string::npos : kUnits.find(text.back());
  const int shift = unit == std::string::npos ? 0 : 10 * static_cast<int>(unit + 1);
  const std::string digits = shift ? text.substr(0, text.size() - 1) : text;
  std::uint64_t number = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (digits.empty() || failed != std::errc() || end != digits.data() + digits.size() || number == 0 || number > (UINT64_MAX >> 1 >> shift))
    refuse(option, text, expected);
  return number << shift;
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

std::uint64_t parse_size(const std::string& option, const std::string& text) { return scaled(option, text, "a number of bytes from 1 on, like 500M"); }

std::vector<std::uint64_t> parse_lengths(const std::string& option, const std::string& text) {
  const std::string expected = "lengths from 1 on, like 512,4K, each once";
  std::vector<std::uint64_t> lengths;
  for (const std::string& one : split(text, ',')) {
    lengths.push_back(scaled(option, one, expected));
    if (std::count(lengths.begin(), lengths.end(), lengths.back()) > 1) refuse(option, text, expected);
  }
  if (lengths.empty()) refuse(option, text, expected);
  return lengths;
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

std::vector<CrossPhase> parse_crossbatch(const std::string& option, const std::string& text) {
  const auto mixture = [&](const std::string& one) {
    const auto numbers = split(one, '+');
    if (numbers.size() != 2) refuse(option, one, "positives and negatives, like 1+1");
    const auto count = [&](const std::string& number) { return static_cast<std::uint32_t>(parse_whole(option, number, 0, kMostWindows)); };
    return Mixture{count(numbers[0]), count(numbers[1])};
  };
  std::vector<CrossPhase> phases;
  CrossPhase open{0, {{}}};
  bool is_open = false;
  for (const std::string& item : split(text, ',')) {
    const auto ends = split(item, '@');
    if (ends.empty() || ends.size() > 2) refuse(option, item, "a mixture, like 1+1, or with its first step, like 1+1@0");
    const auto choices = split(ends[0], '/');
    if (choices.empty()) refuse(option, item, "positives and negatives, like 1+1");
    for (std::size_t i = 0; i < choices.size(); ++i) {
      if (i > 0) open.choices.emplace_back();
      open.choices.back().push_back(mixture(choices[i]));
    }
    is_open = ends.size() == 1;
    if (is_open) continue;
    open.begin = parse_whole(option, ends[1], 0, kMostSteps);
    phases.push_back(std::exchange(open, {0, {{}}}));
  }
  if (is_open && !phases.empty()) refuse(option, text, "the step from which on each list holds, like 1+0@0,1+1@500");
  if (is_open) phases.push_back(open);
  if (phases.empty()) refuse(option, text, "mixtures of positives and negatives, like 1+1");
  for (std::size_t i = 0; i < phases.size(); ++i)
    if (i == 0 ? phases[i].begin != 0 : phases[i].begin <= phases[i - 1].begin) refuse(option, text, "steps that begin with 0 and ascend");
  return phases;
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
