// Real documents of a tiny model in f64: their losses written out by another decoder, their gradients by every way there is.
#include "train/document.h"

#include <catch2/catch.hpp>

#include "unit/model/plain_decoder.h"
#include "unit/train/toy.h"
#include "unit/train/trained.h"

namespace uio {
namespace {

using test::DocumentGradient;
using test::gradient_of;
using test::plan_settings;
using test::random_document;
using test::relative_error;
using test::Trained;

struct Case {
  const char* name;
  PlanSettings settings;
};

std::vector<Case> cases() {
  std::vector<Case> all = {{"token", plan_settings({.lm = 1})},
                           {"released", plan_settings({.lm = 1})},
                           {"autoencode", plan_settings({.autoencode = 1})},
                           {"distill", plan_settings({.distill = 1})},
                           {"mix", plan_settings({.lm = 0.5, .autoencode = 0.3, .distill = 0.2})},
                           {"text", plan_settings({.lm = 0.5, .text = 0.5})}};
  all[1].settings.is_released = true;
  return all;
}

// Two side by side, of other lengths and weights: five local texts each.
std::vector<Document> two_documents() {
  std::vector<Document> documents = {random_document(55, 1), random_document(51, 2)};
  for (std::size_t i = 0; i < 51; ++i) documents[1].weights[i] = i % 5 == 0 ? 0 : i % 7 == 0 ? 3 : 1;
  return documents;
}

// What position p of a local text after `before` memory slots sees: everything before it.
test::View causal(std::int64_t before, std::int64_t t) {
  test::View view{before + t, {}};
  for (std::int64_t i = 0; i <= before + t; ++i) view.keys.emplace_back(i, i);
  return view;
}

TEST_CASE("losses are those of a decoder that is written out") {
  const Trained trained(Trainable::kAdapter);
  const test::PlainDecoder plain(trained.tiny);
  const Document document = random_document(55, 1);
  std::vector<std::int32_t> ids(document.ids.begin(), document.ids.end());
  const at::NoGradGuard no_gradients;
  std::vector<at::Tensor> keys, values;  // [N, G, M, d] of each memory
  for (std::int64_t s = 0; s < 4; ++s) {
    const KeysValues kv = trained.method->transfer(trained.method->encode(test::ids_tensor({ids.begin() + 12 * s, ids.begin() + 12 * (s + 1)})));
    keys.push_back(kv.keys[0]), values.push_back(kv.values[0]);
  }
  const auto after_memories = [&](std::int64_t n, const std::vector<std::int32_t>& text) {
    const at::Tensor k = n > 0 ? at::cat(std::vector<at::Tensor>(keys.begin(), keys.begin() + n), 2) : at::Tensor(),
                     v = n > 0 ? at::cat(std::vector<at::Tensor>(values.begin(), values.begin() + n), 2) : at::Tensor();
    return at::log_softmax(plain.logits(text, [n](std::int64_t t) { return causal(3 * n, t); }, k, v), -1);
  };
  const at::Tensor full = at::log_softmax(plain.logits(ids, [](std::int64_t t) { return causal(0, t); }), -1);
  double token = 0, released = 0, repeat = 0, distance = 0;
  for (std::int64_t t = 1; t < 5; ++t) {
    const std::int64_t begin = 12 * t, end = std::min<std::int64_t>(55, begin + 12);
    const at::Tensor found = after_memories(t, {ids.begin() + begin, ids.begin() + end});
    for (std::int64_t i = begin; i < end && i + 1 < 55; ++i) {
      const double score = -found[i - begin][ids[static_cast<std::size_t>(i + 1)]].item<double>();
      token += score / (55 - 13);
      if (end - begin == 12 && i + 1 < end) released += score / 11;
      distance += (full[i].exp() * (full[i] - found[i - begin])).sum().item<double>() / (55 - 13);
    }
  }
  for (std::int64_t t = 0; t < 4; ++t) {
    std::vector<std::int32_t> text = {7, 9};
    text.insert(text.end(), ids.begin() + 12 * t, ids.begin() + 12 * t + 11);
    const at::Tensor found = after_memories(t + 1, text);
    for (std::int64_t i = 0; i < 12; ++i) repeat -= found[i + 1][ids[static_cast<std::size_t>(12 * t + i)]].item<double>() / 48;
  }
  const std::vector<double> expected = {token, released, repeat, distance, 0.5 * token + 0.3 * repeat + 0.2 * distance};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const Case one = cases()[i];
    LossTally tally;
    ModelDocument real({const_cast<Model&>(trained.model), trained.method.get()}, make_plan({document}, one.settings), tally);
    SeededDraws draws(1, 0);
    INFO(one.name);
    CHECK(estimate_importance(real, {}, draws) == Approx(expected[i]).epsilon(1e-11));  // losses in the document's order
    if (i == 0) CHECK(tally.next.sum / 42 == Approx(token).epsilon(1e-11));
    if (i == 0) CHECK(tally.next.n == 42);
    if (i == 2) CHECK(tally.repeat.sum / 48 == Approx(repeat).epsilon(1e-11));
  }
}

TEST_CASE("a teacher reads as much of the text before as its positions hold") {
  // 60 positions: the sixth text of 12 tokens finds no room; the one before it is read again, half of the positions at most.
  const Trained trained(Trainable::kAdapter, Json{{"max_position_embeddings", 60}});
  const test::PlainDecoder plain(trained.tiny);
  const Document document = random_document(84, 4);
  const std::vector<std::int32_t> ids(document.ids.begin(), document.ids.end());
  const Plan plan = make_plan({document}, plan_settings({.distill = 1}));
  LossTally tally;
  ModelDocument real({const_cast<Model&>(trained.model), trained.method.get()}, plan, tally);
  SeededDraws draws(1, 0);
  const double found = estimate_importance(real, {}, draws);
  const at::NoGradGuard no_gradients;
  double expected = 0;
  std::vector<at::Tensor> keys, values;
  for (std::int64_t t = 0; t < 7; ++t) {
    const std::vector<std::int32_t> text(ids.begin() + 12 * t, ids.begin() + 12 * (t + 1));
    if (t > 0) {
      const std::int64_t from = t < 5 ? 0 : 48;  // where what the teacher has read begins
      const std::vector<std::int32_t> read(ids.begin() + from, ids.begin() + 12 * (t + 1));
      const at::Tensor full = at::log_softmax(plain.logits(read, [](std::int64_t i) { return causal(0, i); }), -1),
                       mine = at::log_softmax(plain.logits(text, [t](std::int64_t i) { return causal(3 * t, i); }, at::cat(keys, 2), at::cat(values, 2)), -1);
      for (std::int64_t i = 0; i < (t == 6 ? 11 : 12); ++i) {
        const at::Tensor p = full[12 * t - from + i];
        expected += (p.exp() * (p - mine[i])).sum().item<double>() / (84 - 13);
      }
    }
    const KeysValues kv = trained.method->transfer(trained.method->encode(test::ids_tensor(text)));
    keys.push_back(kv.keys[0]), values.push_back(kv.values[0]);
  }
  CHECK(found == Approx(expected).epsilon(1e-11));
}

TEST_CASE("exact is bptt and incremental is tbptt on a real model") {
  for (const Trainable trainable : {Trainable::kAdapter, Trainable::kFull})
    for (Case one : cases()) {
      if (trainable == Trainable::kFull && one.settings.objectives.distill > 0) continue;
      one.settings.trains_base = trainable == Trainable::kFull;
      const Trained trained(trainable);
      const std::vector<Document> documents = two_documents();
      INFO(one.name << (trainable == Trainable::kFull ? ", full" : ", adapter"));
      const DocumentGradient whole = gradient_of(trained, "bptt", documents, one.settings);
      CHECK(test::flat(whole.gradients).norm().item<double>() > 0.01);
      const auto check = [&](const DocumentGradient& found, const DocumentGradient& expected) {
        CHECK(found.loss == Approx(expected.loss).epsilon(1e-13));
        for (std::size_t i = 0; i < found.gradients.size(); ++i) {
          INFO(trained.parameters->all()[i].name);
          CHECK(relative_error(found.gradients[i], expected.gradients[i]) < 1e-10);
        }
      };
      check(gradient_of(trained, "exact", documents, one.settings), whole);
      check(gradient_of(trained, "incremental", documents, one.settings, {.window = 5}), whole);
      check(gradient_of(trained, "reservoir", documents, one.settings, {.reservoir = 5}), whole);
      for (const std::int64_t window : {1, 3})
        check(gradient_of(trained, "incremental", documents, one.settings, {.window = window}),
              gradient_of(trained, "tbptt", documents, one.settings, {.window = window}));
    }
}

// To the bit, but for weights that one backward pass reaches by several ways (the base's own keys and values, of which an encoder
// and its head each have a share): their parts are added up in another order.
TEST_CASE("activations computed again give the same gradient") {
  for (const Trainable trainable : {Trainable::kAdapter, Trainable::kFull, Trainable::kBase})
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const Trained trained(trainable, Json::object(), Json::object(), dtype);
      for (Case one : cases()) {
        if (trainable != Trainable::kAdapter && one.settings.objectives.distill > 0) continue;
        if (trainable == Trainable::kBase && (one.settings.objectives.autoencode > 0 || one.settings.is_released)) continue;
        one.settings.trains_base = trainable != Trainable::kAdapter;
        one.settings.has_memories = trainable != Trainable::kBase;
        one.settings.dtype = dtype;
        for (const char* estimator : {"exact", "incremental"}) {
          const DocumentGradient kept = gradient_of(trained, estimator, two_documents(), one.settings, {.window = 2}),
                                 again = gradient_of(trained, estimator, two_documents(), one.settings, {.window = 2}, /*recompute=*/true);
          INFO(one.name << ", " << estimator << ", " << c10::toString(dtype) << ", trainable " << static_cast<int>(trainable));
          CHECK(kept.loss == again.loss);
          for (std::size_t i = 0; i < kept.gradients.size(); ++i) {
            INFO(trained.parameters->all()[i].name << ": " << relative_error(again.gradients[i], kept.gradients[i]));
            if (trainable == Trainable::kFull) CHECK(relative_error(again.gradients[i], kept.gradients[i]) < (dtype == at::kDouble ? 1e-14 : 1e-6));
            else CHECK(at::equal(kept.gradients[i], again.gradients[i]));
          }
        }
      }
    }
}

// J at a coordinate moved by `by`.
double moved(const Trained& trained, const at::Tensor& value, std::int64_t coordinate, double by, const PlanSettings& settings) {
  const at::NoGradGuard no_gradients;
  const at::Tensor numbers = value.detach().view({-1});
  const double before = numbers[coordinate].item<double>();
  numbers[coordinate].fill_(before + by);
  LossTally tally;
  ModelDocument document({const_cast<Model&>(trained.model), trained.method.get()}, make_plan(two_documents(), settings), tally);
  double loss = 0;
  std::vector<at::Tensor> seen;
  for (std::size_t j = 0; j < document.visible().size(); ++j) {
    const std::int64_t rows = document.slots();
    while (seen.empty() ? document.visible()[j] > 0 : seen[0].size(kMemoryAxis) < document.visible()[j] * rows) {
      const std::int64_t s = seen.empty() ? 0 : seen[0].size(kMemoryAxis) / rows;
      const std::vector<at::Tensor> more = document.transfer(s, document.encode(s, {}));
      if (s == 0) seen = more;
      else for (std::size_t i = 0; i < more.size(); ++i) seen[i] = at::cat({seen[i], more[i]}, kMemoryAxis);
    }
    loss += document.loss(static_cast<std::int64_t>(j), seen).item<double>();
  }
  numbers[coordinate].fill_(before);
  return loss;
}

TEST_CASE("gradients are central differences") {
  const std::vector<std::string> adapter = {"memory_tokens", "encoder.layers.0.self_attn.q_proj.lora_A.weight", "encoder.layers.1.self_attn.v_proj.lora_B.weight",
                                            "transfer.layers.0.self_attn.k_proj.lora_B.weight", "transfer.layers.2.self_attn.v_proj.lora_A.weight"};
  const std::vector<std::string> base = {"model.embed_tokens.weight", "model.layers.1.self_attn.k_proj.weight", "model.layers.0.input_layernorm.weight",
                                         "model.layers.2.mlp.down_proj.weight", "lm_head.weight"};
  for (const Trainable trainable : {Trainable::kAdapter, Trainable::kFull})
    for (Case one : cases()) {
      if (trainable == Trainable::kFull && one.settings.objectives.distill > 0) continue;
      one.settings.trains_base = trainable == Trainable::kFull;
      const Trained trained(trainable);
      const DocumentGradient found = gradient_of(trained, "exact", two_documents(), one.settings);
      for (const std::string& name : trainable == Trainable::kFull ? base : adapter) {
        std::size_t i = 0;
        while (trained.parameters->all()[i].name != name) ++i;
        const at::Tensor gradient = found.gradients[i].flatten();
        for (const std::int64_t coordinate : {gradient.abs().argmax().item<std::int64_t>()}) {
          constexpr double kStep = 2e-4;
          const auto at_step = [&](double steps) { return moved(trained, trained.parameters->all()[i].value, coordinate, steps * kStep, one.settings); };
          const double slope = (8 * (at_step(1) - at_step(-1)) - (at_step(2) - at_step(-2))) / (12 * kStep);
          INFO(one.name << ", " << name << "[" << coordinate << "]: " << slope);
          CHECK(std::abs(slope - gradient[coordinate].item<double>()) < 1e-7 * gradient.abs().max().item<double>() + 1e-11);
        }
      }
    }
}

TEST_CASE("a document longer than the positions is refused") {
  const Trained trained(Trainable::kAdapter, Json{{"max_position_embeddings", 40}});
  LossTally tally;
  const auto open = [&](std::int64_t length) {
    ModelDocument document({const_cast<Model&>(trained.model), trained.method.get()}, make_plan({random_document(length, 1)}, plan_settings({.lm = 1})), tally);
  };
  open(12 * 10);  // nine memories and a whole text: 39 positions
  test::check_error([&] { open(12 * 11); }, ErrorKind::kMismatch, {"42", "40"});
}

TEST_CASE("losses are counted by position") {
  LossTally tally;
  Pass pass;
  pass.positions = {0, 255, 256, 511, 512, 1023, 1024};
  tally.add(pass, -at::arange(1, 8, at::kDouble));
  LossTally twice = tally;
  twice.add(tally);
  REQUIRE(twice.by_position.size() == 4);
  const std::vector<std::pair<double, std::int64_t>> expected = {{3, 2}, {7, 2}, {11, 2}, {7, 1}};
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(twice.by_position[i].sum == 2 * expected[i].first);
    CHECK(twice.by_position[i].n == 2 * expected[i].second);
  }
  CHECK(twice.next.n == 14);
  pass.kind = PassKind::kRepeat;
  tally.add(pass, -at::arange(1, 8, at::kDouble));
  CHECK(tally.next.n == 7);
  CHECK(tally.repeat.n == 7);
  CHECK(tally.repeat.sum == 28);
}

}  // namespace
}  // namespace uio
