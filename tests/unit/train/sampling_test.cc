// Sampled estimators with the random numbers of a run: means and variances over thousands of documents' draws.
#include <catch2/catch.hpp>

#include "unit/train/toy.h"

namespace uio {
namespace {

using test::Linear;
using test::one_loss_each;
using test::Terms;
using test::terms_of;

constexpr int kDraws = 2200;

struct Sample {
  at::Tensor mean;
  double variance = 0;
};

Sample sample(const std::string& name, Linear& toy, const EstimatorSettings& settings) {
  at::Tensor sum;
  double squares = 0;
  for (int document = 0; document < kDraws; ++document) {
    SeededDraws draws(2026, static_cast<std::uint64_t>(document));
    const at::Tensor gradient = test::flat(test::estimate(name, toy, settings, draws).theta);
    sum = document == 0 ? gradient : sum + gradient;
    squares += gradient.square().sum().item<double>();
  }
  const at::Tensor mean = sum / kDraws;
  return {mean, (squares - kDraws * mean.square().sum().item<double>()) / (kDraws - 1)};
}

void check(const std::string& name, Linear& toy, const EstimatorSettings& settings, const at::Tensor& expected, double variance) {
  const Sample found = sample(name, toy, settings);
  const double error = (found.mean - expected).norm().item<double>(), standard_error = std::sqrt(variance / kDraws);
  INFO(name << ": mean off by " << error << ", standard error " << standard_error << ", variance " << found.variance << ", formula " << variance);
  CHECK(error < 3 * standard_error);
  CHECK(found.variance == Approx(variance).epsilon(0.05));
}

TEST_CASE("means and variances of seeded draws") {
  Linear toy(one_loss_each(1, 8), 0.7, 0.5);
  const Terms terms = terms_of(toy);
  check("reservoir", toy, {.reservoir = 3}, terms.sum(), terms.reservoir_variance(3));
  check("window+tail", toy, {.window = 2, .reservoir = 2}, terms.sum(), terms.reservoir_variance(2, 2));
  check("importance", toy, {.reservoir = 3}, terms.sum(), terms.importance_variance(3));
}

TEST_CASE("the mean of released is off by far more than chance") {
  Linear toy(one_loss_each(1, 8), 0.7, 0.5);
  const Terms terms = terms_of(toy);
  const Sample found = sample("released", toy, {.reservoir = 3});
  const at::Tensor predicted =
      terms.weighted([](std::int64_t, std::int64_t n, std::size_t) { return std::min(1.0, 3.0 / static_cast<double>(n)); });
  const double standard_error = std::sqrt(found.variance / kDraws);
  CHECK((found.mean - predicted).norm().item<double>() < 3 * standard_error);
  CHECK((found.mean - terms.sum()).norm().item<double>() > 30 * standard_error);
}

TEST_CASE("seeded decisions have the probabilities that are asked for") {
  int yes = 0;
  std::vector<int> ones(5), weighted(4);
  const std::vector<double> probabilities = {0.5, 0, 0.2, 0.3};
  constexpr int kAsked = 40000;
  SeededDraws draws(5, 0);
  for (int i = 0; i < kAsked; ++i) {
    yes += draws.happens(0.3);
    ++ones[static_cast<std::size_t>(draws.one_of(5))];
    ++weighted[static_cast<std::size_t>(draws.weighted(probabilities))];
  }
  const auto is_close = [](int found, double p) { return std::abs(found - kAsked * p) < 4 * std::sqrt(kAsked * p * (1 - p)) + 1e-9; };
  CHECK(is_close(yes, 0.3));
  for (const int one : ones) CHECK(is_close(one, 0.2));
  for (std::size_t i = 0; i < weighted.size(); ++i) CHECK(is_close(weighted[i], probabilities[i]));
  // Each document has a stream of its own.
  SeededDraws first(5, 1), again(5, 1), other(5, 2), another(6, 1);
  bool same = true, differs = false, differs_too = false;
  for (int i = 0; i < 20; ++i) {
    const std::int64_t drawn = first.one_of(1000);
    same = same && again.one_of(1000) == drawn;
    differs = differs || other.one_of(1000) != drawn;
    differs_too = differs_too || another.one_of(1000) != drawn;
  }
  CHECK(same);
  CHECK(differs);
  CHECK(differs_too);
}

}  // namespace
}  // namespace uio
