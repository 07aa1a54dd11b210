// Greedy answers against a decoder written out, through the moves of a window.
#include "score/answer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "unit/score/fot_model.h"

namespace uio {
namespace {

using test::FotModel;
using test::PlainFot;
using test::random_ids;

TEST_CASE("the best tokens after a prompt, up to an end") {
  FotModel model;
  for (const std::int64_t prompt : {1, 16, 45}) {
    const std::vector<std::int32_t> ids = random_ids(prompt, 21);
    PlainFot plain = model.plain();
    at::Tensor logits = plain.input(ids).back();
    std::vector<std::int32_t> expected;
    for (int i = 0; i < 30; ++i) {
      expected.push_back(static_cast<std::int32_t>(logits.argmax().item<std::int64_t>()));
      logits = plain.step(expected.back());
    }
    const auto ask = [&](std::int64_t count, const std::vector<std::int32_t>& ends) {
      return answer(*model.ready.model, *model.ready.make_session(prompt + count, false), ids, count, ends);
    };
    CHECK(ask(30, {}) == expected);
    CHECK(ask(1, {}) == std::vector<std::int32_t>{expected[0]});
    const auto end = std::find(expected.begin(), expected.end(), expected[7]);
    CHECK(ask(30, {expected[7]}) == std::vector<std::int32_t>(expected.begin(), end));
    CHECK(ask(30, {expected[0]}).empty());
  }
}

}  // namespace
}  // namespace uio
