// Sampled estimators by exact enumeration: every path of random decisions with its probability. Expectations and variances are
// those of algorithm notes 16.6 to 16.10, computed here from the single terms u_{s,t}.
#include <catch2/catch.hpp>

#include "unit/train/toy.h"
#include "unit/train/walk.h"

namespace uio {
namespace {

using test::Linear;
using test::one_loss_each;
using test::relative_error;
using test::Terms;
using test::terms_of;
using test::Toy;
using test::ToyRecurrence;

struct Moments {
  at::Tensor mean;
  double variance = 0;  // E|ĝ|² - |Eĝ|²
  int paths = 0;
};

Moments moments_of(const std::string& name, ToyRecurrence& toy, const EstimatorSettings& settings) {
  Moments found;
  double squares = 0;
  found.paths = test::walk([&](Draws& draws) { return test::flat(test::estimate(name, toy, settings, draws).theta); },
                           [&](const at::Tensor& gradient, double p) {
                             found.mean = found.mean.defined() ? found.mean + p * gradient : p * gradient;
                             squares += p * gradient.square().sum().item<double>();
                           });
  found.variance = squares - found.mean.square().sum().item<double>();
  return found;
}

// K = 7 with a loss each; fewer, with several losses at once, some without memories, and memories that come in bunches.
const std::vector<std::vector<std::int64_t>> kDocuments = {one_loss_each(1, 7), {0, 2, 2, 3, 5, 6, 6}};

TEST_CASE("the terms add up to the full gradient") {
  for (const auto& visible : kDocuments) {
    Toy toy(visible, false);
    CHECK(relative_error(terms_of(toy).sum(), test::flat(test::estimate("bptt", toy).theta)) < 1e-13);
    Linear linear(one_loss_each(1, 6), 0.5, 1);
    CHECK(relative_error(terms_of(linear).sum(), test::flat(test::estimate("bptt", linear).theta)) < 1e-13);
  }
}

TEST_CASE("reservoir: expectation and variance") {
  for (const auto& visible : kDocuments) {
    Toy toy(visible, false);
    const Terms terms = terms_of(toy);
    for (const std::int64_t size : {1, 2, 3, 4}) {
      const Moments found = moments_of("reservoir", toy, {.reservoir = size});
      INFO("K " << toy.memories() << ", τ " << size << ", " << found.paths << " paths");
      CHECK(found.paths == std::pow(size + 1, toy.memories() - size));
      CHECK(relative_error(found.mean, terms.sum()) < 1e-12);
      CHECK(found.variance == Approx(terms.reservoir_variance(size)).epsilon(1e-10));
      CHECK(found.variance > 0);
    }
  }
}

TEST_CASE("window+tail: expectation and variance") {
  for (const auto& visible : kDocuments) {
    Toy toy(visible, false);
    const Terms terms = terms_of(toy);
    for (const auto& [window, size] : std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {1, 2}, {2, 1}, {2, 2}, {3, 1}, {3, 3}, {4, 1}}) {
      const Moments found = moments_of("window+tail", toy, {.window = window, .reservoir = size});
      INFO("K " << toy.memories() << ", W " << window << ", r " << size << ", " << found.paths << " paths");
      CHECK(relative_error(found.mean, terms.sum()) < 1e-12);
      CHECK(found.variance == Approx(terms.reservoir_variance(size, window)).epsilon(1e-10).margin(1e-12));
      if (window + size < toy.memories()) CHECK(found.variance > 0);
    }
  }
}

TEST_CASE("importance: expectation and variance") {
  for (const auto& visible : std::vector<std::vector<std::int64_t>>{one_loss_each(1, 6), {0, 2, 2, 3, 5}}) {
    Toy toy(visible, false);
    const Terms terms = terms_of(toy);
    for (const std::int64_t size : {1, 2, 3}) {
      const Moments found = moments_of("importance", toy, {.reservoir = size});
      INFO("K " << toy.memories() << ", r " << size << ", " << found.paths << " paths");
      CHECK(found.paths == std::pow(toy.memories(), size));
      CHECK(relative_error(found.mean, terms.sum()) < 1e-12);
      CHECK(found.variance == Approx(terms.importance_variance(size)).epsilon(1e-10));
    }
  }
}

TEST_CASE("released is biased by just what is predicted") {
  for (const auto& visible : kDocuments) {
    Toy toy(visible, false);
    const Terms terms = terms_of(toy);
    for (const std::int64_t size : {1, 3}) {
      const Moments found = moments_of("released", toy, {.reservoir = size});
      const at::Tensor predicted = terms.weighted([&](std::int64_t, std::int64_t n, std::size_t) {
        return std::min(1.0, static_cast<double>(size) / static_cast<double>(n));
      });
      INFO("K " << toy.memories() << ", τ " << size);
      CHECK(relative_error(found.mean, predicted) < 1e-12);
      CHECK(relative_error(found.mean, terms.sum()) > 0.02);
    }
  }
}

TEST_CASE("decayed re-weights its window") {
  for (const auto& visible : kDocuments) {
    Toy toy(visible, false);
    const Terms terms = terms_of(toy);
    for (const std::int64_t window : {1, 2, 3, 7})
      for (const double decay : {0.5, 0.9}) {
        // c_t = g_t + λ c_{t-1}, as the text says, summed over t.
        at::Tensor carried = terms.zero(), sum = terms.zero();
        for (std::size_t t = 0; t < visible.size(); ++t) {
          carried = decay * carried;
          for (std::int64_t s = std::max<std::int64_t>(0, visible[t] - window); s < visible[t]; ++s) carried = carried + terms.u[t][static_cast<std::size_t>(s)];
          sum = sum + carried;
        }
        const Moments found = moments_of("decayed", toy, {.window = window, .decay = decay});
        INFO("K " << toy.memories() << ", W " << window << ", λ " << decay);
        CHECK(found.paths == 1);
        CHECK(relative_error(found.mean, sum) < 1e-12);
        const at::Tensor bias = terms.weighted([&](std::int64_t s, std::int64_t n, std::size_t t) {
          const double factor = (1 - std::pow(decay, static_cast<double>(visible.size() - t))) / (1 - decay);
          return s < n - window ? -1 : factor - 1;
        });
        CHECK(relative_error(found.mean - terms.sum(), bias) < 1e-11);
      }
  }
}

// Each memory is a parameter of its own and the one loss is their sum: θ's gradient says whose graph was kept at its end.
class Membership : public ToyRecurrence {
 public:
  explicit Membership(std::int64_t count) : ToyRecurrence({count}), theta_(at::zeros({count}, at::kDouble).requires_grad_()) {}
  std::vector<at::Tensor> theta() const override { return {theta_}; }
  std::vector<at::Tensor> phi() const override { return {}; }
  std::int64_t slots() const override { return 1; }
  bool is_recurrent() const override { return false; }
  at::Tensor encode(std::int64_t s, std::span<const at::Tensor>) override { return theta_[s].view({1, 1, 1, 1}); }
  std::vector<at::Tensor> transfer(std::int64_t, const at::Tensor& memory) override { return {memory}; }
  at::Tensor loss(std::int64_t, const std::vector<at::Tensor>& carried) override { return carried[0].sum(); }

 private:
  at::Tensor theta_;
};

TEST_CASE("inclusion in the reservoir, of one and of two") {
  for (std::int64_t count = 2; count <= 8; ++count)
    for (std::int64_t size = 1; size <= std::min<std::int64_t>(4, count); ++size) {
      Membership toy(count);
      at::Tensor pairs = at::zeros({count, count}, at::kDouble);
      test::walk([&](Draws& draws) { return test::flat(test::estimate("released", toy, {.reservoir = size}, draws).theta); },
                 [&](const at::Tensor& members, double p) {
                   REQUIRE(members.sum().item<double>() == static_cast<double>(size));
                   pairs += p * members.unsqueeze(0) * members.unsqueeze(1);
                 });
      const double n = static_cast<double>(count), tau = static_cast<double>(size);
      const at::Tensor eye = at::eye(count, at::kDouble), expected = tau / n * eye + tau * (tau - 1) / (n * (n - 1)) * (1 - eye);
      INFO("n " << count << ", τ " << size);
      CHECK(test::largest_difference(pairs, expected) < 1e-13);
    }
}

TEST_CASE("inclusion in the tail") {
  // Window 2 of 7: the last two are always there, of the five before them every one equally likely.
  Membership toy(7);
  at::Tensor mean = at::zeros({7}, at::kDouble);
  test::walk([&](Draws& draws) { return test::flat(test::estimate("window+tail", toy, {.window = 2, .reservoir = 3}, draws).theta); },
             [&](const at::Tensor& weights, double p) {
               const at::Tensor members = weights.gt(0).to(at::kDouble);
               CHECK(members.sum().item<double>() == 5);
               CHECK(test::largest_difference(weights.narrow(0, 5, 2), at::ones({2}, at::kDouble)) == 0);
               mean += p * members;
             });
  CHECK(test::largest_difference(mean, at::cat({at::full({5}, 0.6, at::kDouble), at::ones({2}, at::kDouble)})) < 1e-13);
}

}  // namespace
}  // namespace uio
