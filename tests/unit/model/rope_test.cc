// Rotary frequencies against transformers 4.57.6 (printed by tests/oracle/rope.py), and tables of angles.
#include "model/rope.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "unit/model/tiny.h"

namespace uio {
namespace {

using test::largest_difference;
using test::tiny_config;

struct Case {
  const char* name;
  double theta;
  std::int64_t head_size, positions, length;
  const char* scaling;  // rope_scaling
  double scale;
  std::vector<double> inverse;
};

// clang-format off
const Case kCases[] = {
    {"default", 10000, 12, 512, 0, "null", 1, {1, 0.2154434, 0.04641588, 0.01, 0.002154434, 0.0004641589}},
    {"default, other base", 500000, 8, 512, 0, "null", 1, {1, 0.03760603, 0.001414213, 5.318296e-05}},
    {"linear", 10000, 12, 512, 0, "{\"rope_type\": \"linear\", \"factor\": 2.5}", 1, {0.4, 0.08617738, 0.01856635, 0.004, 0.0008617737, 0.0001856636}},
    {"dynamic, below the pretrained length", 10000, 12, 128, 100, "{\"rope_type\": \"dynamic\", \"factor\": 3.0}", 1, {1, 0.2154434, 0.04641588, 0.01, 0.002154434, 0.0004641589}},
    {"dynamic, at it", 10000, 12, 128, 128, "{\"rope_type\": \"dynamic\", \"factor\": 3.0}", 1, {1, 0.2154434, 0.04641588, 0.01, 0.002154434, 0.0004641589}},
    {"dynamic, one beyond", 10000, 12, 128, 129, "{\"rope_type\": \"dynamic\", \"factor\": 3.0}", 1, {1, 0.2144475, 0.04598774, 0.009861959, 0.002114872, 0.0004535294}},
    {"dynamic, far beyond", 10000, 12, 128, 384, "{\"rope_type\": \"dynamic\", \"factor\": 3.0}", 1, {1, 0.1459868, 0.02131216, 0.003111295, 0.000454208, 6.630842e-05}},
    {"dynamic, original length ignored", 10000, 12, 128, 300, "{\"rope_type\": \"dynamic\", \"factor\": 3.0, \"original_max_position_embeddings\": 32}", 1, {1, 0.1559546, 0.02432183, 0.003793102, 0.0005915515, 9.225521e-05}},
    {"llama3", 10000, 16, 1024, 0, "{\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 128}", 1, {1, 0.3162278, 0.04275118, 0.003952847, 0.00125, 0.0003952847, 0.000125, 3.952847e-05}},
    {"llama3, other band", 500000, 16, 1024, 0, "{\"rope_type\": \"llama3\", \"factor\": 4.0, \"low_freq_factor\": 0.5, \"high_freq_factor\": 8.0, \"original_max_position_embeddings\": 128}", 1, {1, 0.1153949, 0.01040222, 0.001823166, 0.0003535534, 6.856205e-05, 1.329574e-05, 2.578346e-06}},
    {"yarn", 10000, 16, 512, 0, "{\"rope_type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 128}", 1.138629, {1, 0.2371708, 0.05, 0.007905695, 0.0025, 0.0007905695, 0.00025, 7.905695e-05}},
    {"yarn, original length not said", 10000, 16, 256, 0, "{\"rope_type\": \"yarn\", \"factor\": 2.0}", 1.069315, {1, 0.2766993, 0.075, 0.01976424, 0.005, 0.001581139, 0.0005, 0.0001581139}},
    {"yarn, other band", 10000, 16, 512, 0, "{\"rope_type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 128, \"beta_fast\": 8.0, \"beta_slow\": 0.5}", 1.138629, {1, 0.2569351, 0.0625, 0.01383497, 0.0025, 0.0007905695, 0.00025, 7.905695e-05}},
    {"yarn, not truncated", 10000, 16, 512, 0, "{\"rope_type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 128, \"truncate\": false}", 1.138629, {1, 0.2256375, 0.04270567, 0.007905695, 0.0025, 0.0007905695, 0.00025, 7.905695e-05}},
    {"yarn, attention factor", 10000, 16, 512, 0, "{\"rope_type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 128, \"attention_factor\": 1.25}", 1.25, {1, 0.2371708, 0.05, 0.007905695, 0.0025, 0.0007905695, 0.00025, 7.905695e-05}},
    {"yarn, mscale and mscale_all_dim", 10000, 16, 512, 0, "{\"rope_type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 128, \"mscale\": 1.5, \"mscale_all_dim\": 0.7}", 1.101093, {1, 0.2371708, 0.05, 0.007905695, 0.0025, 0.0007905695, 0.00025, 7.905695e-05}},
    {"yarn, mscale alone", 10000, 16, 512, 0, "{\"rope_type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 128, \"mscale\": 1.5}", 1.138629, {1, 0.2371708, 0.05, 0.007905695, 0.0025, 0.0007905695, 0.00025, 7.905695e-05}},
    {"yarn, factor 1", 10000, 16, 128, 0, "{\"rope_type\": \"yarn\", \"factor\": 1.0, \"original_max_position_embeddings\": 128}", 1, {1, 0.3162278, 0.1, 0.03162278, 0.01, 0.003162278, 0.001, 0.0003162278}},
};
// clang-format on

TEST_CASE("frequencies are those of transformers") {
  for (const Case& one : kCases) {
    INFO(one.name);
    Json changes = {{"rope_theta", one.theta}, {"head_dim", one.head_size}, {"max_position_embeddings", one.positions}};
    if (const Json scaling = Json::parse(one.scaling); !scaling.is_null()) changes["rope_scaling"] = scaling;
    const ModelConfig config = parse_model_config(tiny_config(changes), "config.json");
    const RopeFrequencies found = rope_frequencies(config.rope, config.head_size, config.positions, one.length);
    CHECK(found.scale == Approx(one.scale).epsilon(1e-6));
    REQUIRE(found.inverse.size() == one.inverse.size());
    for (std::size_t j = 0; j < one.inverse.size(); ++j) CHECK(found.inverse[j] == Approx(one.inverse[j]).epsilon(1e-6));
  }
}

TEST_CASE("only dynamic scaling looks at the length") {
  for (const Case& one : kCases) {
    INFO(one.name);
    Json changes = {{"head_dim", one.head_size}, {"max_position_embeddings", one.positions}};
    if (const Json scaling = Json::parse(one.scaling); !scaling.is_null()) changes["rope_scaling"] = scaling;
    const ModelConfig config = parse_model_config(tiny_config(changes), "config.json");
    const auto at_length = [&](std::int64_t length) {
      return rope_frequencies(config.rope, config.head_size, config.positions, length).inverse;
    };
    CHECK((at_length(1) == at_length(10 * one.positions)) == (config.rope.kind != RopeKind::kDynamic));
    CHECK(at_length(1) == at_length(one.positions));
  }
}

ModelConfig plain() { return parse_model_config(tiny_config(), "config.json"); }

TEST_CASE("a table rotates by position times frequency") {
  const ModelConfig config = plain();
  const RopeTable table(config, 200, at::kDouble, at::kCPU);
  const at::Tensor x = at::randn({1, 2, 5, config.head_size}, at::kDouble);
  const at::Tensor turned = table.rotate(x, 150);
  const std::int64_t half = config.head_size / 2;
  for (std::int64_t t = 0; t < 5; ++t)
    for (std::int64_t j = 0; j < half; ++j) {
      const double angle = static_cast<double>(150 + t) *
                           std::pow(10000.0, -2.0 * static_cast<double>(j) / static_cast<double>(config.head_size));
      const double a = x[0][1][t][j].item<double>(), b = x[0][1][t][j + half].item<double>();
      CHECK(turned[0][1][t][j].item<double>() == Approx(a * std::cos(angle) - b * std::sin(angle)).margin(1e-12));
      CHECK(turned[0][1][t][j + half].item<double>() == Approx(b * std::cos(angle) + a * std::sin(angle)).margin(1e-12));
    }
}

TEST_CASE("explicit positions equal counted ones, in any order and often") {
  const ModelConfig config = plain();
  const RopeTable table(config, 100, at::kDouble, at::kCPU);
  const at::Tensor x = at::randn({2, 2, 4, config.head_size}, at::kDouble);
  CHECK(at::equal(table.rotate(x, at::tensor({30, 31, 32, 33}, at::kLong)), table.rotate(x, 30)));
  const at::Tensor mixed = table.rotate(x, at::tensor({99, 0, 7, 7}, at::kLong));
  CHECK(at::equal(mixed.narrow(2, 0, 1), table.rotate(x.narrow(2, 0, 1), 99)));
  CHECK(at::equal(mixed.narrow(2, 3, 1), table.rotate(x.narrow(2, 3, 1), 7)));
  CHECK(table.rotate(x.narrow(2, 0, 0), at::empty({0}, at::kLong)).size(2) == 0);
}

// A table is made as far as it is asked for: what was handed out first must not change.
TEST_CASE("a table that grows gives what one made at once gives") {
  const ModelConfig config = plain();
  const RopeTable grown(config, 1000, at::kFloat, at::kCPU), at_once(config, 1000, at::kFloat, at::kCPU);
  const at::Tensor all = at::randn({1, 1, 1000, config.head_size}, at::kFloat);
  const at::Tensor expected = at_once.rotate(all, 0);
  for (const auto& [first, count] :
       {std::pair<std::int64_t, std::int64_t>{0, 1}, {5, 60}, {64, 2}, {130, 400}, {999, 1}, {0, 1000}})
    CHECK(at::equal(grown.rotate(all.narrow(2, first, count), first), expected.narrow(2, first, count)));
}

TEST_CASE("positions beyond the table are a bug of ours, not garbage") {
  const RopeTable table(plain(), 20, at::kFloat, at::kCPU);
  const at::Tensor x = at::zeros({1, 1, 5, 10});
  CHECK_NOTHROW(table.rotate(x, 15));
  CHECK(test::error_of([&] { table.rotate(x, 16); }).kind() == ErrorKind::kInternal);
  CHECK(test::error_of([&] { table.rotate(x, at::tensor({1, 2, 3, 4, 20}, at::kLong)); }).kind() == ErrorKind::kInternal);
}

TEST_CASE("scores depend on distances only") {
  const ModelConfig config = plain();
  const RopeTable table(config, 600, at::kDouble, at::kCPU);
  const at::Tensor q = at::randn({1, 1, 3, config.head_size}, at::kDouble),
                   k = at::randn({1, 1, 6, config.head_size}, at::kDouble);
  const auto scores = [&](std::int64_t shift) {
    return table.rotate(q, shift + 3).matmul(table.rotate(k, shift).transpose(2, 3));
  };
  CHECK(largest_difference(scores(0), scores(500)) < 1e-10);
}

TEST_CASE("bfloat16 is turned in f32 and rounded once") {
  const ModelConfig config = plain();
  const RopeTable table(config, 100, at::kBFloat16, at::kCPU);
  const at::Tensor x = at::randn({1, 4, 9, config.head_size}).to(at::kBFloat16);
  const at::Tensor wide = RopeTable(config, 100, at::kFloat, at::kCPU).rotate(x.to(at::kFloat), 40);
  CHECK(largest_difference(table.rotate(x, 40), wide.to(at::kBFloat16)) == 0);
}

}  // namespace
}  // namespace uio
