// The dictionary lookup against a decoder written out, token by token.
#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "score/dictionary.h"
#include "unit/score/fot_model.h"

namespace uio {
namespace {

using test::check_error;
using test::FotModel;
using test::PlainFot;

std::vector<std::string> names() {
  std::vector<std::string> names(64);
  names[1] = "<k>", names[2] = "<v>", names[3] = "<q>";
  return names;
}

// Written out, a token is slow: one head, and windows that hold three queries.
const Json kChanges = {{"vocab_size", 64},          {"mem_layers", {1}},          {"num_hidden_layers", 2},  {"num_attention_heads", 1},
                       {"num_key_value_heads", 1}, {"max_position_embeddings", 32}, {"last_context_length", 16}};

TEST_CASE("hits, values and likelihood of every document and length") {
  FotModel model(kChanges, names());
  model.job.lengths = {266, 330};
  model.job.samples = 2;
  model.job.choice.seed = 5;
  const std::vector<Json> lines = model.run("lookup");
  REQUIRE(lines.size() == 4 + 2);
  std::size_t at = 0;
  for (const std::int64_t length : {266, 330}) {
    std::int64_t all_hits = 0, all_values = 0;
    double all_nll = 0, least = 1, most = 0;
    for (const std::uint64_t number : {0, 1}) {
      const Dictionary dictionary(length, 5, number);
      const at::Tensor ids = dictionary.ids(0, length).squeeze(0);
      PlainFot plain = model.plain();
      const std::vector<at::Tensor> logits = plain.input({ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + length});
      std::int64_t hits = 0, values = 0, run = 0;
      double nll = 0;
      for (std::int64_t t = length - 256; t < length - 6; ++t) {
        if ((t - length + 256) % 10 < 6) continue;
        const at::Tensor& before = logits[static_cast<std::size_t>(t - 1)];
        const auto id = ids[t].item<std::int64_t>();
        const bool is_hit = before.argmax().item<std::int64_t>() == id;
        hits += is_hit;
        run = (t - length + 256) % 10 == 6 ? is_hit : run + is_hit;
        values += (t - length + 256) % 10 == 9 && run == 4;
        nll -= at::log_softmax(before, 0)[id].item<double>();
      }
      const Json& line = lines[at++];
      CHECK(line.at("id") == "lookup-" + std::to_string(length) + "-" + std::to_string(number));
      CHECK(line.at("records") == (length - 256) / 10);
      CHECK((line.at("tokens") == 100 && line.at("values") == 25 && line.at("length") == length && line.at("context") == "memory"));
      CHECK(line.at("token_accuracy").get<double>() == Approx(static_cast<double>(hits) / 100));
      CHECK(line.at("value_accuracy").get<double>() == Approx(static_cast<double>(values) / 25));
      CHECK(line.at("nll").get<double>() == Approx(nll / 100).epsilon(1e-9));
      all_hits += hits, all_values += values, all_nll += nll;
      least = std::min(least, static_cast<double>(hits) / 100), most = std::max(most, static_cast<double>(hits) / 100);
    }
    const Json& summary = lines[length == 266 ? 4 : 5];
    CHECK((summary.at("summary") == true && summary.at("length") == length && summary.at("documents") == 2));
    CHECK((summary.at("tokens") == 200 && summary.at("values") == 50));
    CHECK(summary.at("token_accuracy").get<double>() == Approx(static_cast<double>(all_hits) / 200));
    CHECK(summary.at("token_accuracy_min").get<double>() == Approx(least));
    CHECK(summary.at("token_accuracy_max").get<double>() == Approx(most));
    CHECK(summary.at("value_accuracy").get<double>() == Approx(static_cast<double>(all_values) / 50));
    CHECK(summary.at("value_accuracy_interval")[0].get<double>() <= summary.at("value_accuracy").get<double>());
    CHECK(summary.at("nll").get<double>() == Approx(all_nll / 200).epsilon(1e-9));
  }
}

TEST_CASE("a model that only ever says one symbol is right by chance, and of no value") {
  // Its output row 17 is a multiple of what stands in every final-normed row: the norm's weight times rows of ones.
  FotModel model(kChanges, names(), [](test::Tensors& weights) {
    for (auto& [name, tensor] : weights)
      if (name == "model.embed_tokens.weight") tensor.fill_(1);
      else if (name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight")) tensor.zero_();
      else if (name == "model.norm.weight") tensor.fill_(1);
      else if (name == "lm_head.weight") tensor.zero_().select(0, 17).fill_(1);
  });
  model.job.lengths = {600};
  model.job.samples = 4;
  const std::vector<Json> lines = model.run("lookup");
  std::int64_t seventeens = 0;
  for (const std::uint64_t number : {0, 1, 2, 3}) {
    const Dictionary dictionary(600, 0, number);
    for (std::int64_t t = 344; t < 600; ++t) seventeens += dictionary.place_in_value(t) >= 0 && dictionary.ids(t, t + 1).item<std::int64_t>() == 17;
  }
  CHECK(lines.back().at("token_accuracy").get<double>() == Approx(static_cast<double>(seventeens) / 400));
  CHECK(lines.back().at("value_accuracy") == 0.0);
}

TEST_CASE("a context that is too long fails for that document alone") {
  FotModel model(test::with_changes(kChanges, Json{{"max_position_embeddings", 300}, {"last_context_length", 256}}), names());
  model.job.lengths = {290, 400};
  model.job.samples = 1;
  model.job.contexts = {"memory", "none", "window", "full"};
  const std::vector<Json> lines = model.run("lookup");
  CHECK(lines.size() == 2 * 7);
  REQUIRE(model.host.failures.size() == 1);
  CHECK_THAT(model.host.failures[0], Catch::Contains("'full' of 'lookup-400-0'"));
  CHECK(model.host.successes == 7);
}

TEST_CASE("only a model of the dictionary's tokens is asked") {
  FotModel other;
  check_error([&] { other.run("lookup"); }, ErrorKind::kMismatch, {"it has 50 tokens", "64"});
  std::vector<std::string> wrong = names();
  wrong[2] = "v";
  FotModel misnamed(kChanges, wrong);
  check_error([&] { misnamed.run("lookup"); }, ErrorKind::kMismatch, {"token 2 is not <v>"});
  FotModel model(kChanges, names());
  model.job.lengths = {512, 100};
  check_error([&] { model.run("lookup"); }, ErrorKind::kUsage, {"'100'", "266"});
}

}  // namespace
}  // namespace uio
