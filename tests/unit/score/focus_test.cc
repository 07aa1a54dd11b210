// Where attention goes among documents in memory: against weights written out, and where it can be told beforehand.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <numeric>

#include "unit/score/fot_model.h"

namespace uio {
namespace {

using test::check_error;
using test::FotModel;
using test::PlainFot;
using test::random_ids;
using Documents = std::vector<std::vector<std::int32_t>>;

std::string write(const FotModel& model, const Documents& documents) {
  const std::string path = model.tiny.scratch.path("documents.seg");
  test::write_documents(path, documents, 16);
  return path;
}

// Of each memory layer, mean over tokens and heads: what the first of `count` windows weighs among them.
std::vector<double> expected(const FotModel& model, const Documents& documents, std::size_t i, std::size_t count) {
  PlainFot plain = model.plain();
  for (std::size_t j = 0; j < count; ++j) {
    PlainFot other = model.plain();
    for (std::size_t t = 0; t < 16; ++t) other.step(documents[(i + j) % documents.size()][t]);
    for (const std::int64_t layer : {0, 2}) {
      PlainFot::Cache& memory = plain.memory[layer];
      memory.keys.insert(memory.keys.end(), other.local[layer].keys.begin(), other.local[layer].keys.end());
      memory.values.insert(memory.values.end(), other.local[layer].values.begin(), other.local[layer].values.end());
    }
  }
  std::map<std::int64_t, std::vector<double>> shares;
  plain.watch = [&](std::int64_t layer, const std::vector<double>& weights) {
    double own = 0, all = 0;
    for (std::size_t k = 0; k < weights.size(); ++k) (k < 16 ? own : all) += weights[k];
    shares[layer].push_back(own / (own + all));
  };
  for (std::size_t t = 16; t < std::min<std::size_t>(32, documents[i].size()); ++t) plain.step(documents[i][t]);
  std::vector<double> means;
  for (const auto& [layer, values] : shares) means.push_back(std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size()));
  return means;
}

TEST_CASE("the share of the right document, of each memory layer, against weights written out") {
  for (const Json& changes : {Json::object(), Json{{"mem_positionals", false}}}) {
    FotModel model(changes);
    // The last ones are cut: of more than two windows only these are read, and one of a window alone is left out.
    const Documents documents = {random_ids(32, 1), random_ids(25, 2), random_ids(40, 3), random_ids(17, 4)};
    Documents all = documents;
    all.insert(all.begin() + 2, random_ids(16, 5));
    model.job.documents_in_memory = {1, 3, 4};
    const std::vector<Json> lines = model.run("focus", {write(model, all)});
    REQUIRE(lines.size() == 3 * 4 + 3);
    std::size_t at = 0;
    for (const std::size_t count : {1, 3, 4}) {
      double sum = 0, square = 0;
      for (std::size_t i = 0; i < 4; ++i, ++at) {
        const Json& line = lines[at];
        const std::vector<double> shares = expected(model, documents, i, count);
        CHECK(line.at("id") == std::vector<std::string>{"0", "1", "3", "4"}[i]);
        CHECK(line.at("documents_in_memory") == count);
        CHECK(line.at("tokens") == std::vector<int>{16, 9, 16, 1}[i]);
        CHECK(line.at("layers")[0].at("layer") == 0);
        CHECK(line.at("layers")[1].at("layer") == 2);
        for (std::size_t l = 0; l < 2; ++l) CHECK(line.at("layers")[l].at("share").get<double>() == Approx(shares[l]).epsilon(1e-9));
        const double share = (shares[0] + shares[1]) / 2;
        CHECK(line.at("share").get<double>() == Approx(share).epsilon(1e-9));
        CHECK(line.at("gain").get<double>() == Approx(static_cast<double>(count) * share).epsilon(1e-9));
        sum += share, square += share * share;
      }
      const Json& summary = lines[12 + (count == 1 ? 0 : count - 2)];
      const double error = std::sqrt(std::max(0.0, square - sum * sum / 4) / 3 / 4);
      CHECK(summary.at("summary") == true);
      CHECK(summary.at("documents_in_memory") == count);
      CHECK(summary.at("documents") == 4);
      CHECK(summary.at("tokens") == 42);
      CHECK(summary.at("share").get<double>() == Approx(sum / 4).epsilon(1e-9));
      CHECK(summary.at("share_interval")[1].get<double>() == Approx(sum / 4 + 1.96 * error).epsilon(1e-9));
      CHECK(summary.at("gain_interval")[0].get<double>() == Approx(static_cast<double>(count) * (sum / 4 - 1.96 * error)).epsilon(1e-9));
    }
  }
}

TEST_CASE("who cannot tell documents apart gives each the same") {
  const Documents different = {random_ids(32, 1), random_ids(32, 2), random_ids(32, 3), random_ids(32, 4)};
  const auto check_uniform = [](FotModel& model, const Documents& documents) {
    for (const Json& line : model.run("focus", {write(model, documents)})) {
      CHECK(line.at("share").get<double>() == Approx(1.0 / line.at("documents_in_memory").get<double>()).epsilon(1e-12));
      CHECK(line.at("gain").get<double>() == Approx(1).epsilon(1e-12));
    }
  };
  // Every key is 0, so that every score is.
  FotModel blind(Json::object(), std::vector<std::string>(50), [](test::Tensors& weights) {
    for (const char* layer : {"0", "2"}) weights["model.layers." + std::string(layer) + ".self_attn.k_proj.weight"].zero_();
  });
  check_uniform(blind, different);
  // All documents are one.
  FotModel model;
  check_uniform(model, Documents(4, different[0]));
}

TEST_CASE("what focus cannot be measured of is refused") {
  FotModel model;
  const std::string two = write(model, {random_ids(32, 1), random_ids(32, 2)});
  // By default as many as there are.
  CHECK(model.run("focus", {two}).size() == 2 * 2 + 2);
  model.job.samples = 1;
  CHECK(model.run("focus", {two}).size() == 1 + 1);
  model.job.samples = 0;
  model.job.documents_in_memory = {2, 3};
  check_error([&] { model.run("focus", {two}); }, ErrorKind::kUsage, {"'3'", "there are 2"});
  model.job.documents_in_memory.clear();
  check_error([&] { model.run("focus", {write(model, {random_ids(16, 1)})}); }, ErrorKind::kMismatch, {"no document longer than a window", "16 tokens"});
  model.job.choice.search = "exact";
  check_error([&] { model.run("focus", {two}); }, ErrorKind::kUsage, {"--search exact"});
}

}  // namespace
}  // namespace uio
