// What the decoder has before it: memories and tokens, in any portions, against the decoder written out.
#include "memory/context.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "unit/memory/tiny_method.h"

namespace uio {
namespace {

using test::check_error;
using test::ids_tensor;
using test::largest_difference;
using test::part;
using test::PlainDecoder;
using test::random_ids;
using test::TinyMethod;

// Logits of all tokens, fed `step` at a time behind the memories.
at::Tensor logits_in_steps(const TinyMethod& t, const std::vector<KeysValues>& memories, const std::vector<std::int32_t>& ids,
                           std::int64_t step) {
  DecoderContext context(t.model, t.model.config().capacity());
  for (const KeysValues& memory : memories) context.add_memory(memory.keys, memory.values);
  std::vector<at::Tensor> rows;
  for (std::int64_t at = 0; at < static_cast<std::int64_t>(ids.size()); at += step) {
    const std::int64_t count = std::min<std::int64_t>(step, static_cast<std::int64_t>(ids.size()) - at);
    rows.push_back(context.add_tokens(ids_tensor(part(ids, at, count))).squeeze(0));
  }
  return t.logits(at::cat(rows));
}

TEST_CASE("tokens in any portions, behind any memories, equal the decoder written out") {
  for (const Json& model :
       {Json::object(), Json{{"model_type", "mistral"}, {"sliding_window", 6}},
        Json{{"model_type", "mistral"}, {"sliding_window", 1}},
        Json{{"model_type", "qwen3"}, {"use_sliding_window", true}, {"sliding_window", 4}, {"max_window_layers", 2}}}) {
    const TinyMethod t(model);
    const PlainDecoder plain(t.tiny);
    const std::vector<std::int32_t> ids = random_ids(40, 11);
    for (const std::int64_t count : {0, 1, 2}) {
      std::vector<KeysValues> memories;
      std::vector<at::Tensor> keys, values;
      for (std::int64_t i = 0; i < count; ++i) {
        memories.push_back(t.memory(part(ids, 12 * i, 12)));
        keys.push_back(memories.back().keys[0]);
        values.push_back(memories.back().values[0]);
      }
      const std::vector<std::int32_t> local = part(ids, 24, 16);
      const at::Tensor expected = plain.logits(
          local, [&](std::int64_t i) { return PlainDecoder::causal(i, 3 * count); }, count ? at::cat(keys, 2) : at::Tensor(),
          count ? at::cat(values, 2) : at::Tensor());
      for (const std::int64_t step : {1, 2, 5, 7, 16}) {
        INFO(model.dump() << ", " << count << " memories, steps of " << step);
        CHECK(largest_difference(logits_in_steps(t, memories, local, step), expected) < 1e-10);
        const test::ForceReference forced;
        CHECK(largest_difference(logits_in_steps(t, memories, local, step), expected) < 1e-10);
      }
    }
  }
}

TEST_CASE("a context in f32 is one in double, fast and plain") {
  for (const Json& model : {Json::object(), Json{{"model_type", "mistral"}, {"sliding_window", 6}}}) {
    const TinyMethod wide(model), narrow(model, Json::object(), at::kFloat);
    const std::vector<std::int32_t> ids = random_ids(60, 12);
    const std::vector<KeysValues> memories = {narrow.memory(part(ids, 0, 12)), narrow.memory(part(ids, 12, 12))};
    const at::Tensor expected =
        logits_in_steps(wide, {wide.memory(part(ids, 0, 12)), wide.memory(part(ids, 12, 12))}, part(ids, 24, 36), 36);
    for (const std::int64_t step : {1, 4, 5, 36}) {
      CHECK(largest_difference(logits_in_steps(narrow, memories, part(ids, 24, 36), step), expected) < 1e-3);
      const test::ForceReference forced;
      CHECK(largest_difference(logits_in_steps(narrow, memories, part(ids, 24, 36), step), expected) < 1e-3);
    }
  }
}

TEST_CASE("text after which memories come, and more text") {
  // Ended documents stay raw; their positions count like any other.
  const TinyMethod t;
  const std::vector<std::int32_t> ids = random_ids(30, 13);
  const KeysValues memory = t.memory(part(ids, 0, 12));
  DecoderContext mixed(t.model, 96);
  mixed.add_tokens(ids_tensor(part(ids, 12, 5)));
  mixed.add_memory(memory.keys, memory.values);
  CHECK(mixed.length() == 8);
  const at::Tensor found = t.logits(mixed.add_tokens(ids_tensor(part(ids, 17, 4))).squeeze(0));
  // The same by hand: the raw tokens' keys are a memory, too.
  DecoderContext again(t.model, 96);
  again.add_tokens(ids_tensor(part(ids, 12, 5)));
  again.add_memory(memory.keys.narrow(3, 0, 1), memory.values.narrow(3, 0, 1));
  again.add_memory(memory.keys.narrow(3, 1, 2), memory.values.narrow(3, 1, 2));
  CHECK(largest_difference(t.logits(again.add_tokens(ids_tensor(part(ids, 17, 4))).squeeze(0)), found) < 1e-12);
  // And not the same when the memory comes first.
  DecoderContext other(t.model, 96);
  other.add_memory(memory.keys, memory.values);
  other.add_tokens(ids_tensor(part(ids, 12, 5)));
  CHECK(largest_difference(t.logits(other.add_tokens(ids_tensor(part(ids, 17, 4))).squeeze(0)), found) > 1e-3);
}

TEST_CASE("what is forgotten leaves no trace") {
  const TinyMethod t;
  const std::vector<std::int32_t> ids = random_ids(60, 14);
  const KeysValues memory = t.memory(part(ids, 0, 12));
  DecoderContext context(t.model, 96);
  context.add_memory(memory.keys, memory.values);
  context.add_tokens(ids_tensor(part(ids, 12, 30)));
  context.truncate(3);
  CHECK(context.length() == 3);
  const at::Tensor found = context.add_tokens(ids_tensor(part(ids, 42, 10)));
  DecoderContext fresh(t.model, 96);
  fresh.add_memory(memory.keys, memory.values);
  CHECK(largest_difference(found, fresh.add_tokens(ids_tensor(part(ids, 42, 10)))) < 1e-12);
  context.truncate(1000);  // beyond the end: nothing
  CHECK(context.length() == 13);
  CHECK(context.bytes() == 2 * 3 * 2 * 10 * 13 * 8);
}

TEST_CASE("rows side by side are rows alone") {
  const TinyMethod t;
  const std::vector<std::int32_t> ids = random_ids(60, 15);
  DecoderContext together(t.model, 20, 3);
  const at::Tensor all = together.add_tokens(ids_tensor(ids).view({3, 20}));
  for (std::int64_t row = 0; row < 3; ++row) {
    DecoderContext alone(t.model, 20);
    CHECK(largest_difference(alone.add_tokens(ids_tensor(part(ids, 20 * row, 20)))[0], all[row]) < 1e-12);
  }
}

TEST_CASE("positions are used to the last, and no further") {
  const TinyMethod t;
  const std::vector<std::int32_t> ids = random_ids(97, 16);
  DecoderContext context(t.model, 96);
  CHECK_NOTHROW(context.add_tokens(ids_tensor(part(ids, 0, 96))));
  CHECK(test::error_of([&] { context.add_tokens(ids_tensor({1})); }).kind() == ErrorKind::kInternal);
  check_error([&] { DecoderContext(t.model, 97); }, ErrorKind::kMismatch, {"97 positions", "96"});
  check_error([&] { check_capacity(t.model, 1000, "the book"); }, ErrorKind::kMismatch, {"'the book'", "1000 positions", "96"});
  CHECK_NOTHROW(check_capacity(t.model, 96, "the book"));
  DecoderContext small(t.model, 10);
  CHECK(test::error_of([&] { small.add_tokens(ids_tensor(part(ids, 0, 11))); }).kind() == ErrorKind::kInternal);
}

TEST_CASE("dynamic scaling looks at the positions that are asked for") {
  const Json dynamic = {{"max_position_embeddings", 24}, {"rope_scaling", {{"rope_type", "dynamic"}, {"factor", 4}}}};
  const TinyMethod t(dynamic);
  CHECK(t.model.config().capacity() == 96);
  const std::vector<std::int32_t> ids = random_ids(20, 17);
  const auto with = [&](std::int64_t positions) {
    DecoderContext context(t.model, positions);
    return context.add_tokens(ids_tensor(ids));
  };
  CHECK(largest_difference(with(20), with(24)) == 0);  // below the pretrained length: the plain frequencies
  CHECK(largest_difference(with(20), with(60)) > 1e-3);
}

}  // namespace
}  // namespace uio
