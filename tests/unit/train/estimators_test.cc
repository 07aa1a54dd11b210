// Estimators on small recurrences: which equal which, whatever the shape of the document.
#include "train/estimators.h"

#include <catch2/catch.hpp>

#include "unit/train/toy.h"

namespace uio {
namespace {

using test::estimate;
using test::Gradients;
using test::one_loss_each;
using test::relative_error;
using test::Toy;

// Documents by the memories that their losses read: one loss each, several at once, memories that come in bunches, losses
// without any memory, documents without losses that read one.
const std::vector<std::vector<std::int64_t>> kDocuments = {
    {1},    {0, 1},    {1, 2}, one_loss_each(1, 5), one_loss_each(0, 9), {1, 1, 2, 3, 3, 3, 4}, {0, 0, 2, 2, 5}, {6}, {3, 7, 7},
    {0},    {0, 0, 0}};

// The whole gradient by one graph that is written out in the test.
Gradients reference(Toy& toy) {
  Gradients found;
  at::Tensor sum;
  for (std::size_t t = 0; t < toy.visible().size(); ++t) {
    const at::Tensor loss = test::loss_of(toy, t, [](std::int64_t) { return true; });
    sum = sum.defined() ? sum + loss : loss;
  }
  torch::autograd::backward({sum}, {});
  found.loss = sum.item<double>();
  found.theta = test::gradients_and_clear(toy.theta());
  found.phi = test::gradients_and_clear(toy.phi());
  return found;
}

void check_equal(const Gradients& found, const Gradients& expected) {
  CHECK(found.loss == Approx(expected.loss).epsilon(1e-13));
  CHECK(relative_error(found.theta, expected.theta) < 1e-12);
  CHECK(relative_error(found.phi, expected.phi) < 1e-12);
}

TEST_CASE("exact and bptt are the full gradient, also of recurrent encoders") {
  for (const bool is_recurrent : {false, true})
    for (const auto& visible : kDocuments) {
      Toy toy(visible, is_recurrent);
      const Gradients full = reference(toy);
      INFO((is_recurrent ? "recurrent, " : "independent, ") << visible.size() << " losses, K " << toy.memories());
      check_equal(estimate("exact", toy), full);
      check_equal(estimate("bptt", toy), full);
    }
}

TEST_CASE("a recurrent encoder's gradient goes through its earlier memories") {
  // The paths that an estimator for independent encoders would lose are most of it: the test above could see them missing.
  Toy toy(one_loss_each(5, 5), true);
  const Gradients full = reference(toy);
  const at::Tensor loss = test::loss_of(toy, 0, [](std::int64_t s) { return s == 4; });
  torch::autograd::backward({loss}, {});
  CHECK(relative_error(test::gradients_and_clear(toy.theta()), full.theta) > 0.1);
}

TEST_CASE("a window the naive way, incrementally, and written out") {
  for (const auto& visible : kDocuments) {
    Toy toy(visible, false);
    const Gradients full = reference(toy);
    for (std::int64_t window = 1; window <= toy.memories() + 1; ++window) {
      INFO(visible.size() << " losses, K " << toy.memories() << ", W " << window);
      at::Tensor sum = at::zeros({}, at::kDouble);
      for (std::size_t t = 0; t < visible.size(); ++t)
        sum = sum + test::loss_of(toy, t, [&](std::int64_t s) { return s >= visible[t] - window; });
      torch::autograd::backward({sum}, {});
      const Gradients truncated{full.loss, test::gradients_and_clear(toy.theta()), test::gradients_and_clear(toy.phi())};
      const EstimatorSettings settings{.window = window};
      check_equal(estimate("tbptt", toy, settings), truncated);
      check_equal(estimate("incremental", toy, settings), truncated);
      CHECK(relative_error(truncated.phi, full.phi) < 1e-12);
      if (window >= toy.memories()) CHECK(relative_error(truncated.theta, full.theta) < 1e-12);
      if (window < toy.memories()) CHECK(relative_error(truncated.theta, full.theta) > 1e-3);
    }
  }
}

TEST_CASE("the gradient of what reads memories is exact under every estimator, and so is the loss") {
  for (const auto& visible : kDocuments) {
    Toy toy(visible, false);
    const Gradients full = reference(toy);
    for (const Estimator& one : estimators())
      for (const std::int64_t size : {1, 2, 3, 20}) {
        INFO(one.name << ", K " << toy.memories() << ", sizes " << size);
        const Gradients found = estimate(std::string(one.name), toy, {.window = size, .reservoir = size, .decay = 0.7});
        CHECK(found.loss == Approx(full.loss).epsilon(1e-13));
        CHECK(relative_error(found.phi, full.phi) < 1e-12);
      }
  }
}

TEST_CASE("samples that hold every memory are exact") {
  for (const auto& visible : kDocuments) {
    Toy toy(visible, false);
    const Gradients full = reference(toy);
    const std::int64_t all = std::max<std::int64_t>(1, toy.memories());
    INFO("K " << toy.memories());
    check_equal(estimate("reservoir", toy, {.reservoir = all}), full);
    check_equal(estimate("released", toy, {.reservoir = all}), full);
    for (std::int64_t window = 1; window < all; ++window)
      check_equal(estimate("window+tail", toy, {.window = window, .reservoir = all - window}), full);
  }
}

TEST_CASE("gradients are added to what is there") {
  for (const Estimator& one : estimators()) {
    Toy toy(one_loss_each(0, 4), false);
    const EstimatorSettings settings{.window = 2, .reservoir = 2, .decay = 0.7};
    const Gradients alone = estimate(std::string(one.name), toy, settings);
    for (const at::Tensor& leaf : toy.theta()) leaf.mutable_grad() = at::ones_like(leaf);
    for (const at::Tensor& leaf : toy.phi()) leaf.mutable_grad() = at::ones_like(leaf);
    const Gradients more = estimate(std::string(one.name), toy, settings);
    INFO(one.name);
    CHECK(relative_error(test::flat(more.theta) - 1, test::flat(alone.theta)) < 1e-12);
    CHECK(relative_error(test::flat(more.phi) - 1, test::flat(alone.phi)) < 1e-12);
  }
}

TEST_CASE("the same draws give the same bits") {
  for (const Estimator& one : estimators()) {
    Toy toy(one_loss_each(0, 9), false);
    const auto with_seed = [&](std::uint64_t seed) {
      SeededDraws draws(seed, 3);
      return test::flat(estimate(std::string(one.name), toy, {.window = 2, .reservoir = 2}, draws).theta);
    };
    INFO(one.name);
    CHECK(at::equal(with_seed(7), with_seed(7)));
    bool differs = false;
    for (std::uint64_t seed = 8; seed < 14; ++seed) differs = differs || !at::equal(with_seed(7), with_seed(seed));
    CHECK(differs == one.is_sampled);
  }
}

TEST_CASE("leaves that are not trained get nothing") {
  for (const Estimator& one : estimators()) {
    Toy toy(one_loss_each(0, 5), false);
    const Gradients all = estimate(std::string(one.name), toy);
    INFO(one.name);
    for (at::Tensor leaf : toy.phi()) leaf.requires_grad_(false);
    const Gradients encoder = estimate(std::string(one.name), toy);
    CHECK(relative_error(encoder.theta, all.theta) < 1e-13);
    CHECK(test::flat(encoder.phi).norm().item<double>() == 0);
    for (at::Tensor leaf : toy.phi()) leaf.requires_grad_(true);
    for (at::Tensor leaf : toy.theta()) leaf.requires_grad_(false);
    const Gradients reader = estimate(std::string(one.name), toy);
    CHECK(relative_error(reader.phi, all.phi) < 1e-13);
    CHECK(test::flat(reader.theta).norm().item<double>() == 0);
  }
}

TEST_CASE("the table of estimators") {
  std::vector<std::string> recurrent, sampled;
  for (const Estimator& one : estimators()) {
    CHECK(&estimator_named(one.name) == &one);
    if (one.takes_recurrent) recurrent.emplace_back(one.name);
    if (one.is_sampled) sampled.emplace_back(one.name);
  }
  CHECK(estimators().size() == 9);
  CHECK(recurrent == std::vector<std::string>{"exact", "bptt"});
  CHECK(sampled == std::vector<std::string>{"reservoir", "window+tail", "importance", "released"});
  test::check_error([] { estimator_named("best"); }, ErrorKind::kUsage, {"best", "exact, bptt, tbptt"});
}

}  // namespace
}  // namespace uio
