// From documents to passes: which tokens are scored after which memories, and with which weight.
#include "train/plan.h"

#include <catch2/catch.hpp>

#include "unit/train/toy.h"
#include "unit/train/trained.h"

namespace uio {
namespace {

using test::gradient_of;
using test::plan_settings;
using test::random_document;
using test::relative_error;
using test::Trained;

std::vector<std::int64_t> list(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  return {flat.const_data_ptr<std::int64_t>(), flat.const_data_ptr<std::int64_t>() + flat.numel()};
}

// Ids that say where they stand: 100, 101, … so that rows, targets and positions can be held against each other.
Document counted(std::int64_t length, std::int64_t first = 100) {
  Document document;
  for (std::int64_t i = 0; i < length; ++i) document.ids.push_back(first + i);
  document.weights.assign(document.ids.size(), 1);
  return document;
}

PlanSettings of_length(std::int64_t segment_length, const Objectives& objectives = {.lm = 1}) {
  PlanSettings settings = plan_settings(objectives);
  settings.segment_length = segment_length;
  return settings;
}

// Positions and weights of everything that is scored, by the memories before it.
struct Scored {
  std::int64_t memories;
  std::vector<std::int64_t> positions;
  bool operator==(const Scored&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Scored& one) {
  out << "after " << one.memories << ":";
  for (const std::int64_t position : one.positions) out << " " << position;
  return out;
}
std::vector<Scored> scored(const Plan& plan) {
  std::vector<Scored> found;
  for (const Pass& pass : plan.passes) found.push_back({pass.memories, pass.positions});
  return found;
}

double weight_of(const Plan& plan) {
  double sum = 0;
  for (const Pass& pass : plan.passes) sum += pass.weights.sum().item<double>();
  return sum;
}

// Each row predicts the token behind the one it reads; the row's own token is the one before its target.
void check_rows(const Plan& plan, std::int64_t first = 100) {
  for (const Pass& pass : plan.passes) {
    const at::Tensor ids = pass.ids.flatten();
    const std::vector<std::int64_t> rows = list(pass.rows), targets = list(pass.targets);
    REQUIRE(rows.size() == targets.size());
    REQUIRE(rows.size() == pass.positions.size());
    CHECK(std::is_sorted(rows.begin(), rows.end()));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      CHECK(targets[i] == first + pass.positions[i]);
      if (pass.kind == PassKind::kNext) CHECK(ids[rows[i]].item<std::int64_t>() == targets[i] - 1);
    }
  }
}

TEST_CASE("token: every token from the second segment's second on, the first of each next segment included") {
  const Plan plan = make_plan({counted(14)}, of_length(4));
  CHECK(scored(plan) == std::vector<Scored>{{1, {5, 6, 7, 8}}, {2, {9, 10, 11, 12}}, {3, {13}}});
  check_rows(plan);
  CHECK(plan.scored == 9);
  CHECK(plan.tokens == 14);
  CHECK(plan.documents == 1);
  for (const Pass& pass : plan.passes) CHECK(test::largest_difference(pass.weights, at::full_like(pass.weights, 1.0 / 9)) < 1e-16);
  REQUIRE(plan.segments.size() == 3);
  for (std::int64_t s = 0; s < 3; ++s) CHECK(list(plan.segments[static_cast<std::size_t>(s)]) == std::vector<std::int64_t>{100 + 4 * s, 101 + 4 * s, 102 + 4 * s, 103 + 4 * s});
  CHECK(list(plan.passes[2].ids) == std::vector<std::int64_t>{112, 113});
  CHECK(plan.local.size() == 4);
}

TEST_CASE("token: tails of every length") {
  // A last segment of one token is predicted by the segment before it and predicts nothing.
  CHECK(scored(make_plan({counted(9)}, of_length(4))) == std::vector<Scored>{{1, {5, 6, 7, 8}}});
  CHECK(scored(make_plan({counted(10)}, of_length(4))) == std::vector<Scored>{{1, {5, 6, 7, 8}}, {2, {9}}});
  CHECK(scored(make_plan({counted(12)}, of_length(4))) == std::vector<Scored>{{1, {5, 6, 7, 8}}, {2, {9, 10, 11}}});
  CHECK(scored(make_plan({counted(6)}, of_length(4))) == std::vector<Scored>{{1, {5}}});
  CHECK(make_plan({counted(9)}, of_length(4)).segments.size() == 1);
  for (const std::int64_t length : {1, 4, 5}) {  // nothing to score after a memory
    const Plan plan = make_plan({counted(length)}, of_length(4));
    CHECK(plan.passes.empty());
    CHECK(plan.segments.empty());
    CHECK(plan.scored == 0);
  }
  for (std::int64_t length = 6; length < 30; ++length) {
    const Plan plan = make_plan({counted(length)}, of_length(4));
    check_rows(plan);
    CHECK(plan.scored == length - 5);
    CHECK(weight_of(plan) == Approx(1).epsilon(1e-14));
  }
}

TEST_CASE("where the base is trained too, the first segment is scored") {
  PlanSettings settings = of_length(4);
  settings.trains_base = true;
  const Plan plan = make_plan({counted(10)}, settings);
  CHECK(scored(plan) == std::vector<Scored>{{0, {1, 2, 3, 4}}, {1, {5, 6, 7, 8}}, {2, {9}}});
  check_rows(plan);
  CHECK(weight_of(plan) == Approx(1).epsilon(1e-14));
  settings.has_memories = false;
  settings.segment_length = 0;
  const Plan whole = make_plan({counted(10)}, settings);
  CHECK(scored(whole) == std::vector<Scored>{{0, {1, 2, 3, 4, 5, 6, 7, 8, 9}}});
  check_rows(whole);
  CHECK(whole.segments.empty());
  CHECK(weight_of(whole) == Approx(1).epsilon(1e-14));
}

TEST_CASE("released: inner tokens of whole segments, a mean each, summed") {
  PlanSettings settings = of_length(4);
  settings.is_released = true;
  for (const std::int64_t length : {12, 13, 14, 15}) {  // a tail counts for nothing
    const Plan plan = make_plan({counted(length)}, settings);
    CHECK(scored(plan) == std::vector<Scored>{{1, {5, 6, 7}}, {2, {9, 10, 11}}});
    check_rows(plan);
    for (const Pass& pass : plan.passes) CHECK(test::largest_difference(pass.weights, at::full_like(pass.weights, 1.0 / 3)) < 1e-16);
    CHECK(plan.segments.size() == 2);
  }
  CHECK(scored(make_plan({counted(16)}, settings)).size() == 3);
  // Side by side with a document that is longer a tail stays a tail.
  CHECK(scored(make_plan({counted(16), counted(14)}, settings)) == std::vector<Scored>{{1, {5, 6, 7, 5, 6, 7}}, {2, {9, 10, 11, 9, 10, 11}}, {3, {13, 14, 15}}});
}

TEST_CASE("weights of tokens: a mean over what counts") {
  Document document = counted(14);
  document.weights = {9, 9, 9, 9, 9, 0, 1, 0, 2, 0, 0, 0, 0, 5};
  const Plan plan = make_plan({document}, of_length(4));
  CHECK(scored(plan) == std::vector<Scored>{{1, {6, 8}}, {3, {13}}});
  check_rows(plan);
  CHECK(test::largest_difference(plan.passes[0].weights, at::tensor({1.0 / 8, 2.0 / 8})) < 1e-16);
  CHECK(test::largest_difference(plan.passes[1].weights, at::full({1}, 5.0 / 8, at::kDouble)) < 1e-16);
  CHECK(plan.segments.size() == 3);
  document.weights.assign(14, 0);
  CHECK(make_plan({document}, of_length(4)).passes.empty());
  PlanSettings settings = of_length(4);
  settings.is_released = true;
  document.weights = {1, 1, 1, 1, 1, 0, 1, 3, 2, 0, 0, 0, 0, 5};
  const Plan released = make_plan({document}, settings);
  CHECK(scored(released) == std::vector<Scored>{{1, {6, 7}}});
  CHECK(test::largest_difference(released.passes[0].weights, at::tensor({0.25, 0.75})) < 1e-16);
}

TEST_CASE("autoencode: each whole segment again, behind the prompt, after its own memory") {
  const Plan plan = make_plan({counted(14)}, of_length(4, {.autoencode = 1}));
  CHECK(scored(plan) == std::vector<Scored>{{1, {0, 1, 2, 3}}, {2, {4, 5, 6, 7}}, {3, {8, 9, 10, 11}}});
  check_rows(plan);
  REQUIRE(plan.segments.size() == 3);
  for (std::size_t s = 0; s < 3; ++s) {
    const Pass& pass = plan.passes[s];
    const auto begin = static_cast<std::int64_t>(100 + 4 * s);
    CHECK(pass.kind == PassKind::kRepeat);
    CHECK(list(pass.ids) == std::vector<std::int64_t>{7, 9, begin, begin + 1, begin + 2});
    CHECK(list(pass.rows) == std::vector<std::int64_t>{1, 2, 3, 4});
    CHECK(test::largest_difference(pass.weights, at::full_like(pass.weights, 1.0 / 12)) < 1e-16);
    CHECK_FALSE(pass.soft_weights.defined());
  }
  CHECK(plan.local.empty());
  CHECK(make_plan({counted(3)}, of_length(4, {.autoencode = 1})).passes.empty());
}

TEST_CASE("distill and mixtures") {
  const Plan soft = make_plan({counted(14)}, of_length(4, {.distill = 0.5}));
  CHECK(scored(soft) == scored(make_plan({counted(14)}, of_length(4))));
  for (const Pass& pass : soft.passes) {
    CHECK_FALSE(pass.weights.defined());
    CHECK(test::largest_difference(pass.soft_weights, at::full_like(pass.soft_weights, 0.5 / 9)) < 1e-16);
  }
  const Plan mixed = make_plan({counted(14)}, of_length(4, {.lm = 2, .autoencode = 3, .distill = 4}));
  REQUIRE(mixed.passes.size() == 6);
  std::int64_t memories = 0;
  double hard = 0, soft_sum = 0, repeat = 0;
  for (const Pass& pass : mixed.passes) {
    CHECK(pass.memories >= memories);  // in the order of the memories they read
    memories = pass.memories;
    if (pass.kind == PassKind::kRepeat) repeat += pass.weights.sum().item<double>();
    else hard += pass.weights.sum().item<double>(), soft_sum += pass.soft_weights.sum().item<double>();
  }
  CHECK(hard == Approx(2));
  CHECK(repeat == Approx(3));
  CHECK(soft_sum == Approx(4));
  CHECK(objectives_of("mix", {{"lm", 0.25}, {"distill", 2}}).distill == 2);
  CHECK(objectives_of("autoencode", {}).autoencode == 1);
  CHECK(objectives_of("autoencode", {}).lm == 0);
  test::check_error([] { objectives_of("guess", {}); }, ErrorKind::kUsage, {"'guess'", "lm, autoencode, distill, text or mix"});
  test::check_error([] { objectives_of("mix", {{"lm", 0}}); }, ErrorKind::kUsage, {"'lm'"});
}

TEST_CASE("text: the document as it is, in parts that the positions hold") {
  PlanSettings settings = of_length(4, {.lm = 1, .text = 0.5});
  settings.trains_base = true;
  const Plan whole = make_plan({counted(10)}, settings);
  CHECK(scored(whole) == std::vector<Scored>{{0, {1, 2, 3, 4}}, {0, {1, 2, 3, 4, 5, 6, 7, 8, 9}}, {1, {5, 6, 7, 8}}, {2, {9}}});
  CHECK(whole.passes[1].kind == PassKind::kText);
  CHECK(list(whole.passes[1].ids) == std::vector<std::int64_t>{100, 101, 102, 103, 104, 105, 106, 107, 108, 109});
  CHECK(whole.passes[1].weights.sum().item<double>() == Approx(0.5));
  CHECK(weight_of(whole) == Approx(1.5));
  settings.capacity = 6;
  CHECK(scored(make_plan({counted(10)}, settings)) ==
        std::vector<Scored>{{0, {1, 2, 3, 4}}, {0, {1, 2, 3, 4, 5, 6}}, {0, {7, 8, 9}}, {1, {5, 6, 7, 8}}, {2, {9}}});
  settings.objectives.lm = 0;
  const Plan alone = make_plan({counted(10)}, settings);
  CHECK(alone.segments.empty());
  CHECK(scored(alone) == std::vector<Scored>{{0, {1, 2, 3, 4, 5, 6}}, {0, {7, 8, 9}}});
}

TEST_CASE("side by side, shorter documents are filled up with what nobody reads") {
  PlanSettings settings = of_length(4);
  settings.share = 0.5;
  const Plan plan = make_plan({counted(16, 100), counted(14, 100)}, settings);
  check_rows(plan);
  CHECK(scored(plan) == std::vector<Scored>{{1, {5, 6, 7, 8, 5, 6, 7, 8}}, {2, {9, 10, 11, 12, 9, 10, 11, 12}}, {3, {13, 14, 15, 13}}});
  CHECK(plan.passes[2].ids.sizes() == at::IntArrayRef({2, 4}));
  CHECK(list(plan.passes[2].ids) == std::vector<std::int64_t>{112, 113, 114, 115, 112, 113, 0, 0});
  CHECK(weight_of(plan) == Approx(1).epsilon(1e-14));  // half each
  CHECK(test::largest_difference(plan.passes[2].weights, at::tensor({0.5 / 11, 0.5 / 11, 0.5 / 11, 0.5 / 9})) < 1e-16);
  CHECK(plan.tokens == 30);
  CHECK(plan.documents == 2);
  // Where the longer document goes on and the shorter one has ended just there.
  const Plan edge = make_plan({counted(16), counted(13)}, settings);
  CHECK(scored(edge) == std::vector<Scored>{{1, {5, 6, 7, 8, 5, 6, 7, 8}}, {2, {9, 10, 11, 12, 9, 10, 11, 12}}, {3, {13, 14, 15}}});
  test::check_error([&] { make_plan({counted(16), counted(12)}, settings); }, ErrorKind::kInternal, {"shapes"});
  CHECK(shape_of(counted(13), settings) == std::pair<std::int64_t, std::int64_t>(4, 0));
  CHECK(shape_of(counted(13), of_length(4, {.autoencode = 1})) == std::pair<std::int64_t, std::int64_t>(4, 3));
}

TEST_CASE("the gradient of documents side by side is the mean of theirs alone") {
  for (const Trainable trainable : {Trainable::kAdapter, Trainable::kFull, Trainable::kBase}) {
    const Trained trained(trainable);
    for (const Objectives objectives : {Objectives{.lm = 1}, Objectives{.autoencode = 1}, Objectives{.distill = 1}})
      for (const bool is_released : {false, true}) {
        if (trainable != Trainable::kAdapter && objectives.distill > 0) continue;
        if (trainable == Trainable::kBase && (objectives.autoencode > 0 || is_released)) continue;
        PlanSettings settings = plan_settings(objectives, trainable != Trainable::kAdapter);
        settings.has_memories = trainable != Trainable::kBase;
        settings.is_released = is_released;
        std::vector<Document> documents = {random_document(47, 1), random_document(40, 2), random_document(37, 3)};
        for (std::size_t i = 0; i < 40; ++i) documents[1].weights[i] = static_cast<double>(i % 3);
        PlanSettings third = settings;
        third.share = 1.0 / 3;
        const test::DocumentGradient together = gradient_of(trained, "exact", documents, third);
        double loss = 0;
        std::vector<at::Tensor> sum;
        for (const Document& document : documents) {
          const test::DocumentGradient alone = gradient_of(trained, "exact", {document}, settings);
          loss += alone.loss / 3;
          for (std::size_t i = 0; i < alone.gradients.size(); ++i)
            if (sum.size() <= i) sum.push_back(alone.gradients[i] / 3);
            else sum[i] += alone.gradients[i] / 3;
        }
        INFO("trainable " << static_cast<int>(trainable) << ", lm " << objectives.lm << ", autoencode " << objectives.autoencode << ", released " << is_released);
        CHECK(together.loss == Approx(loss).epsilon(1e-13));
        CHECK(relative_error(together.gradients, sum) < 1e-12);
      }
  }
}

}  // namespace
}  // namespace uio
