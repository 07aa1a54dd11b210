// AdamW against its formula in f64, Muon against its own, the schedule's values, and which weights decay.
#include "train/optimiser.h"

#include <catch2/catch.hpp>
#include <numbers>

#include "unit/train/toy.h"
#include "unit/train/trained.h"

namespace uio {
namespace {

using test::relative_error;
using test::Trained;

Optimisation schedule(const std::string& name, double warmup, double final_rate = 0) {
  Optimisation settings;
  settings.rate = 2;
  settings.schedule = name;
  settings.warmup = warmup;
  settings.final_rate = final_rate;
  return settings;
}

TEST_CASE("the rate rises from 0, then falls as asked") {
  for (const std::string name : {"cosine", "linear", "constant"}) {
    const Optimisation settings = schedule(name, 0.1);
    INFO(name);
    CHECK(rate_at(settings, 0, 100) == 0);
    CHECK(rate_at(settings, 1, 100) == Approx(0.2));
    CHECK(rate_at(settings, 9, 100) == Approx(1.8));
    CHECK(rate_at(settings, 10, 100) == 2);
    CHECK(rate_at(schedule(name, 0), 0, 100) == 2);
    CHECK(rate_at(schedule(name, 0.01), 0, 99) == 2);  // floor(0.99): no rise
    CHECK(rate_at(schedule(name, 0.01), 0, 100) == 0);
    CHECK(rate_at(schedule(name, 0.01), 1, 100) == 2);
    for (std::uint64_t step = 11; step < 120; ++step) CHECK(rate_at(settings, step, 100) <= rate_at(settings, step - 1, 100));
  }
  CHECK(rate_at(schedule("constant", 0.1), 99, 100) == 2);
  CHECK(rate_at(schedule("constant", 0.1), 1000, 100) == 2);
}

TEST_CASE("cosine and linear: middle, end, and after it") {
  for (std::uint64_t step = 10; step <= 100; ++step) {
    const double progress = static_cast<double>(step - 10) / 90;
    CHECK(rate_at(schedule("cosine", 0.1), step, 100) == Approx(1 + std::cos(std::numbers::pi * progress)).margin(1e-14));
    CHECK(rate_at(schedule("linear", 0.1), step, 100) == Approx(2 * (1 - progress)).margin(1e-14));
    CHECK(rate_at(schedule("cosine", 0.1, 0.25), step, 100) == Approx(0.5 + 0.75 * (1 + std::cos(std::numbers::pi * progress))));
    CHECK(rate_at(schedule("linear", 0.1, 0.25), step, 100) == Approx(0.5 + 1.5 * (1 - progress)));
  }
  for (const std::string name : {"cosine", "linear"}) {
    CHECK(rate_at(schedule(name, 0.1), 99, 100) > 0);  // the last step of the schedule still changes something
    CHECK(std::abs(rate_at(schedule(name, 0.1), 100, 100)) < 1e-15);
    CHECK(std::abs(rate_at(schedule(name, 0.1), 12345, 100)) < 1e-15);
    CHECK(rate_at(schedule(name, 0.1, 0.25), 12345, 100) == Approx(0.5));
    CHECK(rate_at(schedule(name, 0), 0, 1) == 2);
    CHECK(std::isfinite(rate_at(schedule(name, 1), 10, 10)));
    CHECK(rate_at(schedule(name, 1), 5, 10) == Approx(1));
  }
}

// A gradient for each parameter, by chance.
std::vector<at::Tensor> random_gradients(const Parameters& parameters, std::uint64_t seed) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  std::vector<at::Tensor> gradients;
  for (const Parameter& one : parameters.all())
    gradients.push_back(at::randn(one.value.sizes(), generator, at::TensorOptions().dtype(at::kDouble)).to(one.value.scalar_type()));
  return gradients;
}

TEST_CASE("AdamW is its formula") {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    const Trained trained(Trainable::kFull, Json::object(), Json::object(), dtype);
    const Parameters& parameters = *trained.parameters;
    Optimisation settings;
    settings.beta1 = 0.8, settings.beta2 = 0.9, settings.epsilon = 1e-3, settings.weight_decay = 0.3;
    Optimiser optimiser(parameters);
    std::vector<at::Tensor> values, first, second;
    for (const Parameter& one : parameters.all()) {
      values.push_back(one.value.detach().to(at::kDouble).clone());
      first.push_back(at::zeros_like(values.back()));
      second.push_back(at::zeros_like(values.back()));
    }
    for (int step = 1; step <= 5; ++step) {
      const double rate = 0.01 * step, scale = step == 3 ? 0.125 : 1;
      optimiser.step(parameters, random_gradients(parameters, static_cast<std::uint64_t>(step)), settings, rate, scale);
      const std::vector<at::Tensor> gradients = random_gradients(parameters, static_cast<std::uint64_t>(step));
      for (std::size_t i = 0; i < values.size(); ++i) {
        const Parameter& one = parameters.all()[i];
        const at::Tensor slope = gradients[i].to(at::kDouble) * scale;
        first[i] = 0.8 * first[i] + 0.2 * slope;
        second[i] = 0.9 * second[i] + 0.1 * slope.square();
        const bool is_matrix = one.value.dim() == 2 && one.name != "memory_tokens" && one.name != "model.embed_tokens.weight";
        CHECK(one.decays == is_matrix);
        if (is_matrix) values[i] = values[i] * (1 - rate * 0.3);
        values[i] = values[i] - rate * (first[i] / (1 - std::pow(0.8, step))) / ((second[i] / (1 - std::pow(0.9, step))).sqrt() + 1e-3);
        INFO(one.name << ", step " << step);
        const double bound = dtype == at::kDouble ? 1e-13 : 1e-6;
        CHECK(relative_error(one.value.detach().to(at::kDouble), values[i]) < bound);
        CHECK(relative_error(optimiser.first()[i].to(at::kDouble), first[i]) < bound);
        CHECK(relative_error(optimiser.second()[i].to(at::kDouble), second[i]) < bound);
      }
      CHECK(optimiser.steps() == static_cast<std::uint64_t>(step));
    }
  }
}

TEST_CASE("a matrix is made orthogonal, roughly") {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(7);
  for (const auto& [rows, columns] : {std::pair{5, 12}, std::pair{12, 5}, std::pair{9, 9}}) {
    const at::Tensor matrix = at::randn({rows, columns}, generator, at::TensorOptions().dtype(at::kDouble));
    const auto [u, before, v] = at::linalg_svd(matrix, /*full_matrices=*/false);
    const at::Tensor near = orthogonalised(matrix);
    const at::Tensor values = at::diagonal(u.t().mm(near).mm(v.t()));
    INFO(rows << " x " << columns);
    CHECK(relative_error(u.mm(at::diag(values)).mm(v), near) < 1e-12);  // the same directions, other lengths
    CHECK(values.max().item<double>() < 1.25);
    CHECK(values.index({before > 0.1 * before.max()}).min().item<double>() > 0.65);
  }
  CHECK(orthogonalised(at::zeros({3, 4})).abs().max().item<double>() == 0);
}

TEST_CASE("Muon moves matrices along their momentum's orthogonal factor, the rest as AdamW") {
  const Trained trained(Trainable::kFull), other(Trainable::kFull);
  const Parameters &parameters = *trained.parameters, &others = *other.parameters;
  Optimisation settings;
  settings.weight_decay = 0.3;
  Optimisation muon = settings;
  muon.optimiser = "muon";
  Optimiser optimiser(parameters), adamw(others);
  std::vector<at::Tensor> values, momentum;
  for (const Parameter& one : parameters.all()) {
    values.push_back(one.value.detach().clone());
    momentum.push_back(at::zeros_like(values.back()));
  }
  int matrices = 0;
  for (int step = 1; step <= 3; ++step) {
    const double rate = 0.01 * step, scale = step == 3 ? 0.125 : 1;
    optimiser.step(parameters, random_gradients(parameters, static_cast<std::uint64_t>(step)), muon, rate, scale);
    adamw.step(others, random_gradients(others, static_cast<std::uint64_t>(step)), settings, rate, scale);
    const std::vector<at::Tensor> gradients = random_gradients(parameters, static_cast<std::uint64_t>(step));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const Parameter& one = parameters.all()[i];
      INFO(one.name << ", step " << step);
      if (!one.decays || one.name == "lm_head.weight") {
        CHECK(at::equal(one.value.detach(), others.all()[i].value.detach()));
        continue;
      }
      momentum[i] = 0.95 * momentum[i] + gradients[i] * scale;
      const double side = static_cast<double>(std::max(one.value.size(0), one.value.size(1)));
      values[i] = values[i] * (1 - rate * 0.3) - rate * 0.2 * std::sqrt(side) * orthogonalised(gradients[i] * scale + 0.95 * momentum[i]);
      CHECK(relative_error(one.value.detach(), values[i]) < 1e-13);
      ++matrices;
    }
  }
  CHECK(matrices == 3 * (21 + 24));  // seven matrices a layer; A and B of two targets a layer, in encoder and transfer head
}

TEST_CASE("only matrices decay") {
  const Trained trained(Trainable::kFull);
  int decaying = 0, kept = 0;
  std::vector<at::Tensor> before, nothing;
  for (const Parameter& one : trained.parameters->all()) {
    before.push_back(one.value.detach().clone());
    nothing.push_back(at::zeros_like(one.value));
  }
  Optimisation settings;
  settings.weight_decay = 0.5;
  Optimiser optimiser(*trained.parameters);
  optimiser.step(*trained.parameters, nothing, settings, 0.1, 1);
  for (std::size_t i = 0; i < before.size(); ++i) {
    const Parameter& one = trained.parameters->all()[i];
    INFO(one.name);
    const bool is_kept = one.name.find("norm") != std::string::npos || one.name.find("embed_tokens") != std::string::npos || one.name == "memory_tokens";
    CHECK(relative_error(one.value.detach(), before[i] * (is_kept ? 1 : 0.95)) < 1e-15);
    ++(is_kept ? kept : decaying);
  }
  CHECK(kept == 9);            // two norms a layer, the last norm, embeddings, memory rows
  CHECK(decaying == 22 + 24);  // seven matrices a layer, the head; A and B of two targets a layer, in encoder and transfer head
}

TEST_CASE("a rate of 0 changes no weight") {
  const Trained trained(Trainable::kAdapter);
  std::vector<at::Tensor> before;
  for (const Parameter& one : trained.parameters->all()) before.push_back(one.value.detach().clone());
  Optimiser optimiser(*trained.parameters);
  optimiser.step(*trained.parameters, random_gradients(*trained.parameters, 1), {}, 0, 1);
  for (std::size_t i = 0; i < before.size(); ++i) CHECK(at::equal(before[i], trained.parameters->all()[i].value.detach()));
  CHECK(optimiser.first().front().norm().item<double>() > 0);  // the moments have seen the gradient
  optimiser.reset();
  CHECK(optimiser.steps() == 0);
  CHECK(optimiser.first().front().norm().item<double>() == 0);
  CHECK(optimiser.second().front().norm().item<double>() == 0);
}

TEST_CASE("the norm of all gradients together, without overflow in f32") {
  CHECK(norm_of({at::full({3}, 2.0), at::full({2, 2}, 1.0)}) == Approx(4));
  CHECK(norm_of({at::full({4}, 1e30f, at::kFloat)}) == Approx(2e30));
  CHECK(norm_of({}) == 0);
  CHECK_FALSE(std::isfinite(norm_of({at::full({2}, NAN)})));
  CHECK_FALSE(std::isfinite(norm_of({at::ones({2}), at::full({2}, INFINITY)})));
}

TEST_CASE("what is trained") {
  const auto names = [](const Trained& trained, bool of_base) {
    std::size_t count = 0;
    for (const Parameter& one : trained.parameters->all()) count += one.of_base == of_base;
    return count;
  };
  const Trained adapter(Trainable::kAdapter), full(Trainable::kFull), base(Trainable::kBase);
  CHECK(names(adapter, true) == 0);
  CHECK(names(adapter, false) == 25);
  CHECK(names(full, true) == 30);
  CHECK(names(full, false) == 25);
  CHECK(names(base, true) == 30);
  CHECK(names(base, false) == 0);
  for (const Trained* one : {&adapter, &full, &base}) {
    std::vector<std::string> order;
    std::int64_t values = 0;
    for (const Parameter& parameter : one->parameters->all()) {
      CHECK(parameter.value.is_leaf());
      CHECK(parameter.value.requires_grad());
      order.push_back(parameter.name);
      values += parameter.value.numel();
    }
    CHECK(std::is_sorted(order.begin(), order.end()));
    CHECK(one->parameters->values() == values);
  }
  // Tied embeddings are trained once.
  const Trained tied(Trainable::kBase, Json{{"tie_word_embeddings", true}});
  CHECK(names(tied, true) == 29);
  test::check_error([] { trainable_named("all"); }, ErrorKind::kUsage, {"'all'", "adapter, full or base"});
}

}  // namespace
}  // namespace uio
