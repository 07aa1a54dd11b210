// A run between two steps: what is kept, to the bit, and which differences are refused.
#include "train/run_state.h"

#include <catch2/catch.hpp>

#include "unit/train/toy.h"
#include "unit/train/trained.h"

namespace uio {
namespace {

using test::Trained;

void make_steps(const Trained& trained, Optimiser& optimiser, int steps) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{3});
  for (int step = 0; step < steps; ++step) {
    std::vector<at::Tensor> gradients;
    for (const Parameter& one : trained.parameters->all())
      gradients.push_back(at::randn(one.value.sizes(), generator, one.value.options().requires_grad(false)));
    optimiser.step(*trained.parameters, gradients, {}, 0.01, 1);
  }
}

const RunSettings kSettings = {{"model", {{"base", "f00d"}, {"dtype", "Float"}}},
                               {"objective", {{"estimator", "exact"}, {"loss", "token"}}},
                               {"optimiser", {{"betas", {0.9, 0.95}}, {"clip", 1.0}}},
                               {"schedule", {{"length", 100}, {"lr", 1e-4}}},
                               {"data", {{"accumulate", 4}, {"corpora", {"beef"}}}},
                               {"random", {{"seed", 18446744073709551615u}}}};

TEST_CASE("a state that is read is the one that was written, to the bit") {
  for (const Trainable trainable : {Trainable::kAdapter, Trainable::kFull, Trainable::kBase})
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
      const Trained trained(trainable, Json::object(), Json::object(), dtype), other(trainable, Json::object(), Json::object(), dtype);
      Optimiser optimiser(*trained.parameters), fresh(*other.parameters);
      make_steps(trained, optimiser, 3);
      const Progress progress = {.step = 3, .schedule_begin = 1, .documents = 12, .tokens = 18446744073709551615u, .counts = {5, 7}};
      const std::string path = trained.tiny.scratch.path("state");
      save_state(path, progress, kSettings, *trained.parameters, optimiser);
      const TrainStateFile file(path);
      const Progress read = progress_of(file);
      CHECK(read.step == 3);
      CHECK(read.schedule_begin == 1);
      CHECK(read.documents == 12);
      CHECK(read.tokens == 18446744073709551615u);
      CHECK(read.counts == std::vector<std::uint64_t>{5, 7});
      CHECK(file.description().at("settings") == kSettings);
      load_weights(file, *other.parameters, fresh, path);
      CHECK(fresh.steps() == 3);
      const auto check_same = [&] {
        for (std::size_t i = 0; i < trained.parameters->all().size(); ++i) {
          CHECK(at::equal(trained.parameters->all()[i].value, other.parameters->all()[i].value));
          CHECK(at::equal(optimiser.first()[i], fresh.first()[i]));
          CHECK(at::equal(optimiser.second()[i], fresh.second()[i]));
        }
      };
      check_same();
      for (const Parameter& one : other.parameters->all()) CHECK((one.value.is_leaf() && one.value.requires_grad()));
      const std::string again = trained.tiny.scratch.path("again");
      save_state(again, read, file.description().at("settings"), *other.parameters, fresh);
      CHECK(trained.tiny.scratch.read("again") == trained.tiny.scratch.read("state"));
      make_steps(trained, optimiser, 2);
      make_steps(other, fresh, 2);
      check_same();
    }
}

TEST_CASE("a state of other tensors is refused") {
  const Trained trained(Trainable::kAdapter);
  Optimiser optimiser(*trained.parameters);
  const std::string path = trained.tiny.scratch.path("state");
  save_state(path, {}, kSettings, *trained.parameters, optimiser);
  const auto load_into = [&](const Trained& other) {
    Optimiser fresh(*other.parameters);
    load_weights(TrainStateFile(path), *other.parameters, fresh, path);
  };
  load_into(trained);
  test::check_error([&] { load_into(Trained(Trainable::kFull)); }, ErrorKind::kMismatch, {path, "lm_head.weight", "missing"});
  test::check_error([&] { load_into(Trained(Trainable::kAdapter, Json::object(), Json{{"lora_rank", 3}})); }, ErrorKind::kMismatch,
                    {path, "encoder.layers.0.self_attn.q_proj.lora_A.weight", "2", "3", "24"});
  test::check_error([&] { load_into(Trained(Trainable::kAdapter, Json::object(), Json{{"encoder_targets", {"q_proj"}}})); }, ErrorKind::kMismatch,
                    {path, "75 tensors", "57"});
}

RunSettings changed(const std::string& part, const std::string& name, const Json& value) {
  RunSettings settings = kSettings;
  settings[part][name] = value;
  return settings;
}

TEST_CASE("an option that differs is named with both values") {
  CHECK(parts_to_reset(kSettings, kSettings, {}, "s").empty());
  CHECK(parts_to_reset(kSettings, kSettings, {"data", "optimiser"}, "s").empty());
  const std::vector<std::tuple<std::string, std::string, Json, std::string, std::string>> cases = {
      {"objective", "estimator", "bptt", "\"exact\"", "\"bptt\""},
      {"optimiser", "clip", 2.0, "1.0", "2.0"},
      {"optimiser", "betas", {0.9, 0.99}, "[0.9,0.95]", "[0.9,0.99]"},
      {"schedule", "lr", 2e-4, "0.0001", "0.0002"},
      {"data", "accumulate", 5, "4", "5"},
      {"random", "seed", 7, "18446744073709551615", "7"}};
  for (const auto& [part, name, value, before, now] : cases) {
    const RunSettings asked = changed(part, name, value);
    INFO(part << " " << name);
    const std::string difference = "it was made with " + name + " " + before + ", now it is " + now;
    const auto compare = [&, &part = part](const std::vector<std::string>& reset) { return parts_to_reset(kSettings, asked, reset, "run.state"); };
    const Error error = test::error_of([&] { compare({}); });
    CHECK(std::string(error.what()) == "state of another run: 'run.state': " + difference);
    CHECK(static_cast<int>(error.kind()) == static_cast<int>(ErrorKind::kMismatch));
    CHECK(error.hint() == "--reset " + part + " begins that part anew");
    CHECK(compare({part}) == std::vector<std::string>{part});
    const std::string other = part == "data" ? "schedule" : "data";
    test::check_error([&] { compare({other}); }, ErrorKind::kMismatch, {difference});
  }
}

TEST_CASE("the model cannot be begun anew") {
  const Error error = test::error_of([] { parts_to_reset(kSettings, changed("model", "base", "cafe"), {"model", "data"}, "s"); });
  CHECK(std::string(error.what()) == "state of another run: 's': it was made with base \"f00d\", now it is \"cafe\"");
  CHECK(error.hint() == "begin a new state");
}

TEST_CASE("the option is named, not what follows from it") {
  RunSettings asked = changed("data", "corpora", {"cafe"});
  test::check_error([&] { parts_to_reset(kSettings, asked, {}, "s"); }, ErrorKind::kMismatch, {"made with corpora [\"beef\"], now it is [\"cafe\"]"});
  asked["data"]["document_segments"] = 2;  // pieces of other lengths: another fingerprint
  test::check_error([&] { parts_to_reset(kSettings, asked, {}, "s"); }, ErrorKind::kMismatch, {"made with document_segments absent, now it is 2"});
  asked = changed("model", "base", "cafe");
  asked["model"]["trainable"] = "full";
  test::check_error([&] { parts_to_reset(kSettings, asked, {}, "s"); }, ErrorKind::kMismatch, {"made with trainable absent, now it is \"full\""});
}

TEST_CASE("settings that come or go differ too") {
  const RunSettings more = changed("objective", "window", 4);
  test::check_error([&] { parts_to_reset(kSettings, more, {}, "s"); }, ErrorKind::kMismatch, {"made with window absent, now it is 4"});
  test::check_error([&] { parts_to_reset(more, kSettings, {}, "s"); }, ErrorKind::kMismatch, {"s"});
  RunSettings without = kSettings;
  without.erase("random");
  test::check_error([&] { parts_to_reset(without, kSettings, {}, "s"); }, ErrorKind::kMismatch, {"seed absent"});
  RunSettings several = changed("data", "accumulate", 1);
  several["schedule"]["lr"] = 1;
  CHECK(parts_to_reset(kSettings, several, {"schedule", "data"}, "s") == std::vector<std::string>{"data", "schedule"});
}

}  // namespace
}  // namespace uio
