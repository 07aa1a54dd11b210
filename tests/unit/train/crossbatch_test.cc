// CrossBatch training of a tiny model in f64: against the same step as one slow graph, against what uio-score reads, and who depends on whom.
#include "train/crossbatch.h"

#include <catch2/catch.hpp>
#include <functional>
#include <map>

#include "memory/walk.h"
#include "train/carried.h"
#include "train/group.h"
#include "train/mixtures.h"
#include "unit/text/recording_host.h"
#include "unit/train/crew.h"
#include "unit/train/plain_cross.h"
#include "unit/train/toy.h"
#include "unit/train/trained.h"

namespace uio {
namespace {

using test::PlainCross;
using test::random_document;
using test::relative_error;
using test::Trained;

constexpr std::int64_t kLength = 8;

const Json kWindows = {{"mem_layers", {0, 2}}, {"mem_dtype", "float64"}};

Json windows_with(const Json& changes) { return test::with_changes(kWindows, changes); }

WindowSettings settings_of(const Trained& trained) { return {trained.model.config().memory, kLength, 0}; }

// Documents of the same number of windows go side by side, at most `at_once`; those for which `is_mine` is false are another process's.
std::vector<CrossRows> rows_of(const std::vector<Document>& documents, std::size_t at_once, const std::function<bool(std::size_t)>& is_mine) {
  PlanSettings settings;
  settings.objectives.lm = 1;
  settings.trains_base = true;
  settings.segment_length = kLength;
  settings.share = 1.0 / static_cast<double>(documents.size());
  settings.dtype = at::kDouble;
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<std::size_t>> by_shape;
  for (std::size_t i = 0; i < documents.size(); ++i)
    if (is_mine(i)) by_shape[shape_of(documents[i], settings)].push_back(i);
  std::vector<CrossRows> rows;
  for (const auto& [shape, numbers] : by_shape)
    for (std::size_t begin = 0; begin < numbers.size(); begin += at_once) {
      CrossRows some;
      std::vector<Document> beside;
      for (std::size_t i = begin; i < std::min(numbers.size(), begin + at_once); ++i) {
        some.documents.push_back(numbers[i]);
        beside.push_back(documents[numbers[i]]);
      }
      some.plan = make_plan(beside, settings);
      rows.push_back(std::move(some));
    }
  return rows;
}

std::vector<CrossDocument> facts_of(const std::vector<Document>& documents, const std::vector<Mixture>& mixtures) {
  std::vector<CrossDocument> facts;
  for (std::size_t i = 0; i < documents.size(); ++i) facts.push_back({static_cast<std::int64_t>(documents[i].ids.size()), mixtures[i % mixtures.size()]});
  return facts;
}

struct Step {
  std::vector<Document> documents;
  std::vector<Mixture> mixtures;
  std::size_t at_once = 3;
  bool recompute = false, through_memory = true;
};

struct Found {
  double loss = 0;
  std::vector<at::Tensor> gradients;
  LossTally tally;
};

Found gradient_of(const Trained& trained, const Step& step, Processes& processes) {
  Found found;
  trained.parameters->clear_gradients();
  const auto count = static_cast<std::size_t>(processes.count()), rank = static_cast<std::size_t>(processes.rank());
  Crossbatch cross({const_cast<Model&>(trained.model), nullptr, step.recompute}, settings_of(trained), kLength, facts_of(step.documents, step.mixtures),
                   rows_of(step.documents, step.at_once, [&](std::size_t i) { return i % count == rank; }), processes, found.tally);
  found.loss = cross.gradient(step.through_memory);
  for (std::size_t i = 0; i < trained.parameters->all().size(); ++i) found.gradients.push_back(trained.parameters->gradient(i).clone());
  return found;
}
Found gradient_of(const Trained& trained, const Step& step) {
  Processes alone;
  return gradient_of(trained, step, alone);
}

Found plain_gradient_of(const Trained& trained, const Step& step) {
  Found found;
  trained.parameters->clear_gradients();
  PlainCross plain(trained.model, settings_of(trained), kLength);
  plain.through_memory = step.through_memory;
  std::vector<Mixture> mixtures;
  for (const CrossDocument& one : facts_of(step.documents, step.mixtures)) mixtures.push_back(one.mixture);
  const at::Tensor loss = plain.loss(step.documents, mixtures);
  backward({loss}, {at::ones_like(loss)});
  found.loss = loss.item<double>();
  for (std::size_t i = 0; i < trained.parameters->all().size(); ++i) found.gradients.push_back(trained.parameters->gradient(i).clone());
  return found;
}

double loss_of(const Trained& trained, const Step& step) {
  LossTally tally;
  Processes alone;
  return Crossbatch({const_cast<Model&>(trained.model)}, settings_of(trained), kLength, facts_of(step.documents, step.mixtures),
                    rows_of(step.documents, step.at_once, [](std::size_t) { return true; }), alone, tally)
      .loss();
}

void check_same(const Trained& trained, const Found& found, const Found& expected, double bound = 1e-10) {
  CHECK(found.loss == Approx(expected.loss).epsilon(1e-13));
  for (std::size_t i = 0; i < found.gradients.size(); ++i) {
    INFO(trained.parameters->all()[i].name);
    CHECK(relative_error(found.gradients[i], expected.gradients[i]) < bound);
  }
}

// Of one to four windows, the last ones whole, of one token and in between; some tokens count more, some not at all, and one document not.
std::vector<Document> documents_of(const std::vector<std::int64_t>& lengths) {
  std::vector<Document> documents;
  for (const std::int64_t length : lengths) {
    documents.push_back(random_document(length, documents.size() + 1));
    for (std::size_t i = 0; i < documents.back().weights.size(); ++i) documents.back().weights[i] = i % 5 == 0 ? 0 : i % 7 == 0 ? 3 : 1;
  }
  return documents;
}
Step mixed_step() {
  Step step{documents_of({32, 27, 17, 8, 29, 24, 16}), {{0, 0}, {1, 1}, {2, 1}, {3, 0}, {1, 6}, {9, 2}}};
  std::fill(step.documents[5].weights.begin(), step.documents[5].weights.end(), 0.0);
  return step;
}

TEST_CASE("the gradient is that of the whole step as one graph") {
  for (const Json& changes : {Json::object(), Json{{"mem_positionals", false}}, Json{{"model_type", "qwen3"}}, Json{{"mem_layers", {1}}, {"model_type", "qwen2"}},
                              Json{{"model_type", "mistral"}, {"sliding_window", 5}, {"tie_word_embeddings", true}},
                              Json{{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 24}}}}}) {
    INFO(changes.dump());
    const Trained trained(Trainable::kBase, windows_with(changes));
    Step step = mixed_step();
    const Found whole = plain_gradient_of(trained, step);
    CHECK(test::flat(whole.gradients).norm().item<double>() > 0.01);
    check_same(trained, gradient_of(trained, step), whole);
    CHECK(loss_of(trained, step) == Approx(whole.loss).epsilon(1e-13));
    step.at_once = 1;
    step.recompute = true;
    check_same(trained, gradient_of(trained, step), whole);
  }
}

TEST_CASE("without gradients through the memory keys and values are constants") {
  const Trained trained(Trainable::kBase, kWindows);
  Step step = mixed_step();
  const Found through = gradient_of(trained, step);
  step.through_memory = false;
  const Found found = gradient_of(trained, step);
  check_same(trained, found, plain_gradient_of(trained, step));
  CHECK(found.loss == Approx(through.loss).epsilon(1e-13));
  CHECK(relative_error(test::flat(found.gradients), test::flat(through.gradients)) > 1e-3);
  step.recompute = true;
  check_same(trained, gradient_of(trained, step), found, 1e-14);
}

TEST_CASE("without mixtures it is the model on windows alone") {
  const Trained trained(Trainable::kBase, kWindows);
  Step step = mixed_step();
  step.mixtures = {{0, 0}};
  const Found found = gradient_of(trained, step);
  check_same(trained, found, plain_gradient_of(trained, step));
  step.through_memory = false;
  check_same(trained, gradient_of(trained, step), found, 1e-14);
}

TEST_CASE("the tally has each scored token once, by its position") {
  const Trained trained(Trainable::kBase, kWindows);
  const Step step = mixed_step();
  std::int64_t scored = 0;
  for (const Document& document : step.documents)
    for (std::size_t i = 1; i < document.weights.size(); ++i) scored += document.weights[i] > 0;
  for (const bool through : {true, false}) {
    Step one = step;
    one.through_memory = through;
    CHECK(gradient_of(trained, one).tally.next.n == scored);
  }
}

// A document of whole windows, as uio-score reads it: with the tail that is one window.
std::vector<double> walked(const Model& model, const std::string& directory, const Document& document) {
  ModelChoice choice;
  choice.model = directory;
  choice.method = "fot";
  const auto method = make_method(model, choose_adapter(choice, model));
  const std::vector<std::int32_t> ids(document.ids.begin(), document.ids.end());
  std::vector<double> scores(ids.size() - 1);
  const at::NoGradGuard no_gradients;
  method->walk({"memory", "book", TokenList(ids), 1, false, false, 0, Form::kKv, Precision::kExact}, [&](std::int64_t begin, const at::Tensor& rows) {
    const at::Tensor table = at::log_softmax(model.logits(model.final_norm(rows)), -1);
    for (std::int64_t i = 0; i < rows.size(0); ++i)
      scores[static_cast<std::size_t>(begin + i)] = table[i][ids[static_cast<std::size_t>(begin + i + 1)]].item<double>();
  });
  return scores;
}

TEST_CASE("positives alone are what inference reads") {
  for (const char* dtype : {"float64", "bfloat16"})
    for (const Json& changes : {Json::object(), Json{{"mem_positionals", false}}, Json{{"model_type", "qwen3"}},
                                Json{{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 24}}}}}) {
      const Json all = test::with_changes(changes, {{"mem_dtype", dtype}, {"max_position_embeddings", kLength}, {"last_context_length", kLength}});
      INFO(all.dump());
      const Trained trained(Trainable::kBase, windows_with(all));
      Step step{{random_document(5 * kLength, 3)}, {{4, 0}}};
      const std::vector<double> scores = walked(trained.model, trained.tiny.directory(), step.documents[0]);
      double sum = 0;
      for (std::size_t i = 0; i < scores.size(); ++i) sum -= scores[i];
      CHECK(loss_of(trained, step) == Approx(sum / static_cast<double>(scores.size())).epsilon(1e-12));
      CHECK(gradient_of(trained, step).loss == Approx(sum / static_cast<double>(scores.size())).epsilon(1e-12));
      // Each window's own share: the others count nothing.
      for (std::int64_t w = 0; w < 5; ++w) {
        double expected = 0, weight = 0;
        for (std::size_t i = 1; i <= scores.size(); ++i) {
          const bool is_in = (static_cast<std::int64_t>(i) - 1) / kLength == w;
          step.documents[0].weights[i] = is_in;
          if (is_in) expected -= scores[i - 1], ++weight;
        }
        CHECK(loss_of(trained, step) == Approx(expected / weight).epsilon(1e-12));
      }
    }
}

TEST_CASE("a document depends on those that it sees, and on no other") {
  const std::vector<Mixture> mixtures = {{1, 2}, {0, 1}, {3, 0}, {0, 0}, {1, 4}, {2, 1}};
  const Trained trained(Trainable::kBase, windows_with({{"mem_layers", {1}}}));  // one: a memory depends on nothing but its own window
  for (const std::size_t reader : {0u, 1u, 2u, 3u, 4u, 5u})
    for (std::size_t other = 0; other < 6; ++other)
      for (std::int64_t window = 0; window < 3; ++window) {
        Step step{documents_of({20, 20, 20, 20, 20, 20}), mixtures, 2};
        for (std::size_t i = 0; i < 6; ++i)
          if (i != reader) std::fill(step.documents[i].weights.begin(), step.documents[i].weights.end(), 0.0);
        std::fill(step.documents[reader].weights.begin(), step.documents[reader].weights.begin() + 17, 0.0);  // the third window's own
        const double before = loss_of(trained, step);
        const std::size_t changed = static_cast<std::size_t>(window * kLength + 1);
        step.documents[other].ids[changed] = (step.documents[other].ids[changed] + 7) % 50;
        const std::int64_t back = 2 - window;
        const bool is_own = other == reader && (back == 0 || back <= mixtures[reader].positives);
        const std::size_t after = (other + 6 - reader) % 6;
        const bool is_negative = other != reader && back == 1 && after <= mixtures[reader].negatives;
        INFO(reader << " reads " << other << ", window " << window);
        if (is_own || is_negative) CHECK(loss_of(trained, step) != before);
        else CHECK(loss_of(trained, step) == before);
      }
}

TEST_CASE("any number of processes adds up to the same gradient") {
  const Json changes = windows_with({{"mem_dtype", "float64"}});
  for (const bool through : {true, false}) {
    Step step = mixed_step();
    step.through_memory = through;
    const Trained one(Trainable::kBase, changes);
    const Found whole = gradient_of(one, step);
    for (const int count : {2, 3, 9}) {
      std::vector<std::unique_ptr<Trained>> models;
      std::vector<Found> found(static_cast<std::size_t>(count));
      std::vector<text_test::RecordingHost> hosts(static_cast<std::size_t>(count));
      for (int r = 0; r < count; ++r) models.push_back(std::make_unique<Trained>(Trainable::kBase, changes));
      train_test::Crew(count).run([&](std::unique_ptr<Transport> transport) {
        const auto rank = static_cast<std::size_t>(transport->rank());
        const auto processes = make_group(std::move(transport), hosts[rank]);
        found[rank] = gradient_of(*models[rank], step, *processes);
        processes->leave();
      });
      Found sum = found[0];
      for (std::size_t r = 1; r < found.size(); ++r) {
        sum.loss += found[r].loss;
        for (std::size_t i = 0; i < sum.gradients.size(); ++i) sum.gradients[i] = sum.gradients[i] + found[r].gradients[i];
      }
      INFO(count << " processes");
      check_same(one, sum, whole, 1e-12);
    }
  }
}

TEST_CASE("f32 is near f64, whatever the dtype of the memory") {
  const Trained exact(Trainable::kBase, kWindows), trained(Trainable::kBase, kWindows, Json::object(), at::kFloat);
  const Step step = mixed_step();
  const Found wanted = gradient_of(exact, step);
  Found found;
  {
    Step same = step;
    LossTally tally;
    Processes alone;
    std::vector<CrossRows> rows = rows_of(same.documents, 3, [](std::size_t) { return true; });
    for (CrossRows& one : rows)
      for (Pass& pass : one.plan.passes) pass.weights = pass.weights.to(at::kFloat);
    trained.parameters->clear_gradients();
    Crossbatch cross({const_cast<Model&>(trained.model)}, settings_of(trained), kLength, facts_of(same.documents, same.mixtures), std::move(rows), alone, tally);
    found.loss = cross.gradient(true);
    for (std::size_t i = 0; i < trained.parameters->all().size(); ++i) found.gradients.push_back(trained.parameters->gradient(i).to(at::kDouble));
  }
  CHECK(found.loss == Approx(wanted.loss).epsilon(1e-5));
  CHECK(relative_error(test::flat(found.gradients), test::flat(wanted.gradients)) < 1e-4);
}

TEST_CASE("a schedule deals and draws by the step alone") {
  const std::vector<CrossPhase> schedule = {{0, {{{1, 0}}}}, {5, {{{1, 1}}, {{1, 7}, {2, 0}}}}, {90, {{{1, 15}}}}};
  CHECK(text_of(schedule) == "1+0@0,1+1/1+7,2+0@5,1+15@90");
  CHECK(text_of(std::vector<CrossPhase>{{0, {{{0, 0}, {1, 1}}}}}) == "0+0,1+1");
  CHECK(text_of(mixtures_at(schedule, 3, 4)) == "1+0");
  CHECK(text_of(mixtures_at(schedule, 3, 90)) == "1+15");
  int drawn = 0;
  for (std::uint64_t step = 5; step < 90; ++step) {
    const std::string text = text_of(mixtures_at(schedule, 3, step));
    CHECK((text == "1+1" || text == "1+7,2+0"));
    CHECK(text == text_of(mixtures_at(schedule, 3, step)));
    drawn += text == "1+1";
  }
  CHECK(drawn > 20);
  CHECK(drawn < 65);
}

}  // namespace
}  // namespace uio
