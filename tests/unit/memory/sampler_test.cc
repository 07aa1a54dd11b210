// The choice of the next token: which tokens are in the draw, and how often each is drawn.
#include "memory/sampler.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <set>

#include "unit/model/tiny.h"

namespace uio {
namespace {

Sampling hot() {
  Sampling sampling;
  sampling.temperature = 1;
  return sampling;
}

// The tokens that are ever drawn.
std::set<std::int32_t> drawn(const Sampling& sampling, const std::vector<float>& logits, int count = 3000) {
  Sampler sampler(sampling, 5);
  std::set<std::int32_t> seen;
  for (int i = 0; i < count; ++i) seen.insert(sampler.choose(logits));
  return seen;
}

std::vector<float> logs(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p) + 3));  // a shift means nothing
  return logits;
}

// Σ (observed − expected)² / expected stays below the 99.9% point for the degrees of freedom, with this seed.
void check_frequencies(const Sampling& sampling, const std::vector<float>& logits, const std::vector<double>& expected,
                       double bound) {
  constexpr int kDraws = 20000;
  Sampler sampler(sampling, 2024);
  std::vector<int> observed(logits.size());
  for (int i = 0; i < kDraws; ++i) ++observed[static_cast<std::size_t>(sampler.choose(logits))];
  double chi_square = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] == 0) {
      CHECK(observed[i] == 0);
    } else {
      const double wanted = kDraws * expected[i];
      chi_square += (observed[i] - wanted) * (observed[i] - wanted) / wanted;
    }
  }
  CHECK(chi_square < bound);
}

const std::vector<double> kMass = {0.05, 0.4, 0.15, 0.3, 0.1};

TEST_CASE("greedy takes the greatest, of equals the lowest id") {
  const Sampling greedy;
  CHECK(Sampler(greedy, 1).choose(std::vector<float>{1, 3, 2}) == 1);
  CHECK(Sampler(greedy, 1).choose(std::vector<float>{3, 1, 3}) == 0);
  CHECK(Sampler(greedy, 1).choose(std::vector<float>{-5, -INFINITY, -5}) == 0);
  CHECK(Sampler(greedy, 1).choose(std::vector<float>{7}) == 0);
  // Filters do not change the best.
  Sampling filtered;
  filtered.top_k = 1, filtered.top_p = 0.1, filtered.min_p = 1;
  CHECK(Sampler(filtered, 1).choose(std::vector<float>{1, 3, 2}) == 1);
}

TEST_CASE("frequencies are the softmax") { check_frequencies(hot(), logs(kMass), kMass, 18.47); }

TEST_CASE("temperature divides the logits") {
  Sampling sampling = hot();
  for (const double temperature : {0.5, 2.0}) {
    sampling.temperature = temperature;
    std::vector<double> expected;
    double total = 0;
    for (const double p : kMass) total += expected.emplace_back(std::pow(p, 1 / temperature));
    for (double& p : expected) p /= total;
    check_frequencies(sampling, logs(kMass), expected, 18.47);
  }
  sampling.temperature = 1e-6;
  CHECK(drawn(sampling, logs(kMass)) == std::set<std::int32_t>{1});
}

TEST_CASE("top-k keeps the k best, of equals the lower ids") {
  Sampling sampling = hot();
  sampling.top_k = 2;
  check_frequencies(sampling, logs(kMass), {0, 4.0 / 7, 0, 3.0 / 7, 0}, 10.83);
  sampling.top_k = 1;
  CHECK(drawn(sampling, logs(kMass)) == std::set<std::int32_t>{1});
  sampling.top_k = 100;
  CHECK(drawn(sampling, logs(kMass)).size() == 5);
  sampling.top_k = 2;
  CHECK(drawn(sampling, {1, 1, 1, 1}) == std::set<std::int32_t>{0, 1});
}

TEST_CASE("top-p keeps the fewest best that reach p") {
  Sampling sampling = hot();
  const std::vector<std::pair<double, std::set<std::int32_t>>> cases = {
      {0.01, {1}},       {0.39, {1}},       {0.41, {1, 3}},       {0.69, {1, 3}},
      {0.71, {1, 2, 3}}, {0.84, {1, 2, 3}}, {0.86, {1, 2, 3, 4}}, {1.0, {0, 1, 2, 3, 4}}};
  for (const auto& [p, expected] : cases) {
    INFO(p);
    sampling.top_p = p;
    CHECK(drawn(sampling, logs(kMass)) == expected);
  }
  sampling.top_p = 0.6;
  check_frequencies(sampling, logs(kMass), {0, 4.0 / 7, 0, 3.0 / 7, 0}, 10.83);
}

TEST_CASE("min-p keeps what is at least p times as likely as the best") {
  Sampling sampling = hot();
  const std::vector<std::pair<double, std::set<std::int32_t>>> cases = {
      {0.1, {0, 1, 2, 3, 4}}, {0.13, {1, 2, 3, 4}}, {0.26, {1, 2, 3}}, {0.38, {1, 3}}, {0.76, {1}}, {1.0, {1}}};
  for (const auto& [p, expected] : cases) {
    INFO(p);
    sampling.min_p = p;
    CHECK(drawn(sampling, logs(kMass)) == expected);
  }
}

TEST_CASE("the order of the filters: temperature, top-k, top-p, min-p") {
  Sampling sampling = hot();
  sampling.temperature = 2, sampling.top_k = 3, sampling.top_p = 0.75;
  // √.4, √.3, √.15 of their sum: .423, .366, .211: two reach 0.75 of what top-k has left (of all it would take three).
  CHECK(drawn(sampling, logs(kMass)) == std::set<std::int32_t>{1, 3});
  sampling.top_p = 1, sampling.min_p = 0.5;
  // After the temperature .15 is .61 of the best, before it .375.
  CHECK(drawn(sampling, logs(kMass)) == std::set<std::int32_t>{1, 2, 3});
}

TEST_CASE("the repeat penalty makes seen tokens less likely, whatever the sign") {
  Sampling sampling;
  sampling.repeat_penalty = 2;
  Sampler sampler(sampling, 1);
  const std::vector<float> logits = {3, 2, -1, -1.5f};
  CHECK(sampler.choose(logits) == 0);
  sampler.note(0);
  CHECK(sampler.choose(logits) == 1);  // 1.5, 2
  sampler.note(1);
  CHECK(sampler.choose(logits) == 0);  // 1.5, 1
  sampler.note(0);                     // twice seen is seen
  CHECK(sampler.choose(logits) == 0);
  const std::vector<float> negative = {-1, -1.5f};
  CHECK(Sampler(sampling, 1).choose(negative) == 0);
  Sampler second(sampling, 1);
  second.note(0);
  CHECK(second.choose(negative) == 1);  // -2, -1.5
  Sampling hot_penalty = hot();
  hot_penalty.repeat_penalty = 1.5;
  Sampler drawing(hot_penalty, 3);
  drawing.note(1);
  int count = 0;
  const std::vector<float> pair = {static_cast<float>(std::log(2.0)), static_cast<float>(1.5 * std::log(2.0))};
  for (int i = 0; i < 4000; ++i) count += drawing.choose(pair);  // log 2 each after the penalty
  CHECK(std::abs(count - 2000) < 4 * std::sqrt(1000.0));
}

TEST_CASE("a seed decides everything") {
  const std::vector<float> logits = logs(kMass);
  const auto sequence = [&](std::uint64_t seed) {
    Sampler sampler(hot(), seed);
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < 100; ++i) tokens.push_back(sampler.choose(logits));
    return tokens;
  };
  CHECK(sequence(1) == sequence(1));
  CHECK(sequence(1) != sequence(2));
}

TEST_CASE("impossible tokens are never drawn") {
  CHECK(drawn(hot(), {-INFINITY, 0, -INFINITY, 0}) == std::set<std::int32_t>{1, 3});
}

TEST_CASE("options out of range") {
  const auto with = [](const std::function<void(Sampling&)>& change) {
    Sampling sampling;
    change(sampling);
    Sampler(sampling, 1);
  };
  using test::check_error;
  const double nan = std::nan("");
  for (const double bad : {-0.1, nan, static_cast<double>(INFINITY)})
    check_error([&] { with([&](Sampling& s) { s.temperature = bad; }); }, ErrorKind::kUsage, {"temperature"});
  check_error([&] { with([](Sampling& s) { s.top_k = -1; }); }, ErrorKind::kUsage, {"top_k"});
  for (const double bad : {0.0, -0.5, 1.01, nan})
    check_error([&] { with([&](Sampling& s) { s.top_p = bad; }); }, ErrorKind::kUsage, {"top_p"});
  for (const double bad : {-0.1, 1.1, nan})
    check_error([&] { with([&](Sampling& s) { s.min_p = bad; }); }, ErrorKind::kUsage, {"min_p"});
  for (const double bad : {0.0, -1.0, nan, static_cast<double>(INFINITY)})
    check_error([&] { with([&](Sampling& s) { s.repeat_penalty = bad; }); }, ErrorKind::kUsage, {"repeat_penalty"});
}

}  // namespace
}  // namespace uio
