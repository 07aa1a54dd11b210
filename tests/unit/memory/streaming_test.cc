// Sinks and a window, against the decoder written out with each query's own cache.
#include "memory/streaming.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "unit/memory/tiny_method.h"

namespace uio {
namespace {

using test::ids_tensor;
using test::largest_difference;
using test::part;
using test::PlainDecoder;
using test::random_ids;
using test::TinyMethod;
using test::View;

at::Tensor streamed(const TinyMethod& t, std::int64_t sinks, std::int64_t window, const std::vector<std::int32_t>& ids,
                    std::int64_t step) {
  StreamingContext context(t.model, sinks, window);
  std::vector<at::Tensor> rows;
  for (std::int64_t at = 0; at < static_cast<std::int64_t>(ids.size()); at += step) {
    const std::int64_t count = std::min<std::int64_t>(step, static_cast<std::int64_t>(ids.size()) - at);
    rows.push_back(context.add_tokens(ids_tensor(part(ids, at, count))).squeeze(0));
  }
  return t.logits(at::cat(rows));
}

// The cache of token t as the released code has it: the sinks, then the last `window` tokens, positions by index in the cache.
View cache_of(std::int64_t t, std::int64_t sinks, std::int64_t window) {
  if (t < sinks + window) return PlainDecoder::causal(t);
  View sees{sinks + window - 1, {}};
  for (std::int64_t i = 0; i < sinks; ++i) sees.keys.emplace_back(i, i);
  for (std::int64_t i = 0; i < window; ++i) sees.keys.emplace_back(t - window + 1 + i, sinks + i);
  return sees;
}

TEST_CASE("a window over everything is full attention") {
  for (const Json& model : {Json::object(), Json{{"model_type", "mistral"}, {"sliding_window", 5}}}) {
    const TinyMethod t(model);
    const std::vector<std::int32_t> ids = random_ids(30, 21);
    const at::Tensor full = PlainDecoder(t.tiny).logits(ids, [](std::int64_t i) { return PlainDecoder::causal(i); });
    for (const auto& [sinks, window] : {std::pair<std::int64_t, std::int64_t>{4, 26}, {4, 60}, {0, 30}, {29, 1}})
      for (const std::int64_t step : {1, 7, 30}) {
        INFO(model.dump() << " " << sinks << " sinks, window " << window << ", steps of " << step);
        CHECK(largest_difference(streamed(t, sinks, window, ids, step), full) < 1e-10);
      }
  }
}

TEST_CASE("beyond the window, each query has its own cache") {
  for (const Json& model : {Json::object(), Json{{"model_type", "mistral"}, {"sliding_window", 5}},
                            Json{{"model_type", "mistral"}, {"sliding_window", 11}}}) {
    const TinyMethod t(model);
    const std::vector<std::int32_t> ids = random_ids(50, 22);
    for (const auto& [sinks, window] : {std::pair<std::int64_t, std::int64_t>{4, 8}, {1, 1}, {0, 6}, {2, 13}, {4, 1}}) {
      const at::Tensor expected =
          PlainDecoder(t.tiny).logits(ids, [&, s = sinks, w = window](std::int64_t i) { return cache_of(i, s, w); });
      for (const std::int64_t step : {1, 3, 12, 50}) {
        INFO(model.dump() << " " << sinks << " sinks, window " << window << ", steps of " << step);
        CHECK(largest_difference(streamed(t, sinks, window, ids, step), expected) < 1e-10);
      }
    }
  }
}

TEST_CASE("streaming in f32 is streaming in double, fast and plain") {
  const TinyMethod wide, narrow(Json::object(), Json::object(), at::kFloat);
  const std::vector<std::int32_t> ids = random_ids(80, 23);
  const at::Tensor expected = streamed(wide, 4, 20, ids, 80);
  for (const std::int64_t step : {1, 9, 80}) {
    CHECK(largest_difference(streamed(narrow, 4, 20, ids, step), expected) < 1e-3);
    const test::ForceReference forced;
    CHECK(largest_difference(streamed(narrow, 4, 20, ids, step), expected) < 1e-3);
  }
}

TEST_CASE("as long a text as one likes") {
  const TinyMethod t(Json::object(), Json::object(), at::kFloat);
  const at::Tensor logits = streamed(t, 4, 92, random_ids(2000, 24), StreamingContext::kMostTokens);
  CHECK(logits.size(0) == 2000);
  CHECK(logits.isfinite().all().item<bool>());
}

}  // namespace
}  // namespace uio
