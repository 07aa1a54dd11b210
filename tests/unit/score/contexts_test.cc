// Every context against the decoder written out, token by token: which memories and which raw tokens a target sees, and where.
#include "score/contexts.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "unit/memory/tiny_method.h"
#include "unit/score/task_run.h"

namespace uio {
namespace {

using test::check_error;
using test::ids_tensor;
using test::NoTokenizer;
using test::part;
using test::PlainDecoder;
using test::random_ids;
using test::View;

// L 12, M 3, 40 positions: 9 memories and a raw segment fit.
struct Fixture {
  explicit Fixture(const Json& model_changes = Json::object(), at::ScalarType dtype = at::kDouble, std::int32_t bos = 1)
      : tiny(with_positions(model_changes)), plain(tiny) {
    ready.model = std::make_unique<Model>(tiny.directory(), Placement{at::kCPU, dtype, dtype}, "", 1);
    ready.tokenizer = std::make_unique<NoTokenizer>(bos);
    const Json config = test::tiny_adapter_config();
    const std::string directory =
        test::write_adapter(tiny.scratch, config, test::tiny_adapter_weights(config, ready.model->config(), 77, false));
    ready.method = make_method(*ready.model, load_adapter(directory, *ready.model));
  }
  static Json with_positions(Json changes) {
    if (!changes.is_object()) changes = Json::object();
    changes["max_position_embeddings"] = 40;
    changes["num_hidden_layers"] = 2;
    return changes;
  }

  std::vector<double> score(const char* context, const std::vector<std::int32_t>& ids, std::int64_t last = 0,
                            std::int64_t batch = 0, bool drop_oldest = false) {
    const auto n = static_cast<std::int64_t>(ids.size());
    const std::string name = "book";
    const TokenList tokens(ids);
    std::vector<TokenList> lists(earlier.begin(), earlier.end());
    std::vector<const TokenSequence*> before;
    for (const TokenList& list : lists) before.push_back(&list);
    const ScoreInput input{ready,    name,        tokens, 12,   last ? std::max<std::int64_t>(1, n - last) : 1,
                           last > 0, drop_oldest, batch,  host, Form::kKv, Precision::kExact, before};
    return score_tokens(find_context(context), input);
  }

  // log p of ids[begin + 1, end] after memories [first, memories) of the document and its raw tokens [begin, end).
  std::vector<double> pass(const std::vector<std::int32_t>& ids, std::int64_t first, std::int64_t memories, std::int64_t begin,
                           std::int64_t end) const {
    std::vector<at::Tensor> keys, values;
    for (std::int64_t s = first; s < memories; ++s) {
      const KeysValues kv = ready.method->transfer(ready.method->encode(ids_tensor(part(ids, 12 * s, 12))));
      keys.push_back(kv.keys[0]);
      values.push_back(kv.values[0]);
    }
    const std::int64_t slots = 3 * (memories - first);
    const at::Tensor logits = plain.logits(
        part(ids, begin, end - begin), [&](std::int64_t t) { return PlainDecoder::causal(t, slots); },
        slots ? at::cat(keys, 2) : at::Tensor(), slots ? at::cat(values, 2) : at::Tensor());
    return PlainDecoder::following(logits, part(ids, begin + 1, end - begin));
  }

  test::TinyModel tiny;
  PlainDecoder plain;
  Ready ready;
  text_test::RecordingHost host;
  std::vector<std::vector<std::int32_t>> earlier;  // documents before
};

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// NaN where the other is; else within the tolerance.
void check_scores(const std::vector<double>& found, const std::vector<double>& expected, double tolerance = 1e-9) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    INFO("token " << i);
    if (std::isnan(expected[i]))
      CHECK(std::isnan(found[i]));
    else
      CHECK(found[i] == Approx(expected[i]).margin(tolerance).epsilon(0));
  }
}

void put(std::vector<double>& into, std::int64_t at, const std::vector<double>& scores) {
  for (std::size_t i = 0; i < scores.size(); ++i) into[static_cast<std::size_t>(at) + i] = scores[i];
}

const std::vector<std::int64_t> kLengths = {1, 2, 11, 12, 13, 24, 25, 36, 40, 41};

TEST_CASE("full: everything before") {
  Fixture f;
  for (const std::int64_t n : kLengths) {
    const std::vector<std::int32_t> ids = random_ids(n, 51);
    std::vector<double> expected(ids.size(), kNone);
    if (n > 1) put(expected, 1, f.pass(ids, 0, 0, 0, n - 1));
    check_scores(f.score("full", ids), expected);
  }
  // 41 tokens are 40 to be read; one more does not fit.
  check_error([&] { f.score("full", random_ids(42, 51)); }, ErrorKind::kMismatch, {"'full' of 'book'", "41 positions", "40"});
}

std::vector<double> walk(const Fixture& f, const std::vector<std::int32_t>& ids, bool with_memory) {
  const auto n = static_cast<std::int64_t>(ids.size());
  std::vector<double> expected(ids.size(), kNone);
  for (std::int64_t begin = 0; begin < n - 1; begin += 12)
    put(expected, begin + 1, f.pass(ids, 0, with_memory ? begin / 12 : 0, begin, std::min(begin + 12, n - 1)));
  return expected;
}

TEST_CASE("none: own segment alone, whatever the batch") {
  Fixture f;
  for (const std::int64_t n : {1, 2, 11, 12, 13, 24, 25, 37, 60, 130}) {
    const std::vector<std::int32_t> ids = random_ids(n, 52);
    for (const std::int64_t batch : {0, 1, 2, 7}) check_scores(f.score("none", ids, 0, batch), walk(f, ids, false));
  }
}

TEST_CASE("memory: memories of the segments before, own segment raw, whatever the batch") {
  for (const Json& model : {Json::object(), Json{{"model_type", "mistral"}, {"sliding_window", 5}}}) {
    Fixture f(model);
    for (const std::int64_t n : {1, 2, 11, 12, 13, 24, 25, 37, 60, 121}) {
      const std::vector<std::int32_t> ids = random_ids(n, 53);
      for (const std::int64_t batch : {0, 1, 2, 7}) check_scores(f.score("memory", ids, 0, batch), walk(f, ids, true));
    }
  }
}

TEST_CASE("memory: whole segments of earlier documents come first, and count as positions") {
  Fixture f;
  const std::vector<std::int32_t> first = random_ids(30, 71), second = random_ids(12, 72), ids = random_ids(29, 73);
  f.earlier = {first, second};
  // Three memories of the documents before (the tail of the first is none), then those of the document: segments of one text whose tails are cut off.
  std::vector<std::int32_t> joined = part(first, 0, 24);
  joined.insert(joined.end(), second.begin(), second.end());
  joined.insert(joined.end(), ids.begin(), ids.end());
  std::vector<double> expected(ids.size(), kNone);
  for (std::int64_t begin = 0; begin < 28; begin += 12)
    put(expected, begin + 1, f.pass(joined, 0, 3 + begin / 12, 36 + begin, 36 + std::min<std::int64_t>(begin + 12, 28)));
  for (const std::int64_t batch : {0, 1, 2, 7}) check_scores(f.score("memory", ids, 0, batch), expected);
  // Nothing of them is seen where there is no memory.
  check_scores(f.score("none", ids), walk(f, ids, false));
  f.earlier.assign(9, second);
  check_error([&] { f.score("memory", random_ids(25, 74)); }, ErrorKind::kMismatch, {"'memory' of 'book'", "42 positions", "40"});
}

TEST_CASE("memory: the capacity is used to the last position") {
  Fixture f;
  // 9 memories are 27 positions; 12 raw tokens make 39. 10 memories leave room for 10 raw tokens.
  CHECK_NOTHROW(f.score("memory", random_ids(131, 54)));
  check_error([&] { f.score("memory", random_ids(132, 54)); }, ErrorKind::kMismatch,
              {"'memory' of 'book'", "41 positions", "40"});
}

TEST_CASE("memory: the oldest go when that is asked for") {
  Fixture f;
  const std::vector<std::int32_t> ids = random_ids(200, 55);
  std::vector<double> expected(ids.size(), kNone);
  std::int64_t kept = 0;
  for (std::int64_t begin = 0; begin < 199; begin += 12) {
    const std::int64_t end = std::min<std::int64_t>(begin + 12, 199), segments = begin / 12;
    // One more than the segment before had, as far as there is room. What went does not come back for a shorter last pass.
    kept = std::min((40 - (end - begin)) / 3, segments ? kept + 1 : 0);
    put(expected, begin + 1, f.pass(ids, segments - kept, segments, begin, end));
  }
  CHECK(kept == 10);
  for (const std::int64_t batch : {0, 1, 5}) check_scores(f.score("memory", ids, 0, batch, true), expected);
}

// Segments that are to be retrieved for targets from `end` on behind the memories of all segments before `begin`, by hand: those which the L tokens
// before the targets attend to most.
std::vector<std::int64_t> nearest(const Fixture& f, const std::vector<std::int32_t>& ids, std::int64_t begin, std::int64_t end, std::int64_t count) {
  const std::int64_t from = std::max<std::int64_t>(0, end - 12);
  std::vector<MemoryRange> ranges;
  for (std::int64_t s = 0; s < from / 12; ++s) ranges.push_back({3 * s, 3});
  MemoryMass mass(ranges);
  DecoderContext context(*f.ready.model, 40);
  for (std::int64_t s = 0; s < begin / 12; ++s) {
    const KeysValues kv = f.ready.method->transfer(f.ready.method->encode(ids_tensor(part(ids, 12 * s, 12))));
    context.add_memory(kv.keys, kv.values);
  }
  context.watch(&mass);
  if (!ranges.empty()) context.add_tokens(ids_tensor(part(ids, from, end - from)));
  std::vector<std::int64_t> segments;
  for (const std::size_t i : mass.largest(count)) segments.push_back(static_cast<std::int64_t>(i));
  return segments;
}

// log p of ids[begin + 1, end] behind memories of all segments before (or none), the retrieved segments and its own tokens from `begin` on.
std::vector<double> behind(const Fixture& f, const std::vector<std::int32_t>& ids, const std::vector<std::int64_t>& retrieved, bool has_memories, std::int64_t begin,
                           std::int64_t end) {
  std::vector<std::int32_t> raw;
  for (const std::int64_t s : retrieved) {
    const auto segment = part(ids, 12 * s, 12);
    raw.insert(raw.end(), segment.begin(), segment.end());
  }
  const auto own = part(ids, begin, end - begin);
  raw.insert(raw.end(), own.begin(), own.end());
  DecoderContext context(*f.ready.model, 40);
  for (std::int64_t s = 0; has_memories && s < begin / 12; ++s) {
    const KeysValues kv = f.ready.method->transfer(f.ready.method->encode(ids_tensor(part(ids, 12 * s, 12))));
    context.add_memory(kv.keys, kv.values);
  }
  const at::Tensor x = context.add_tokens(ids_tensor(raw)).squeeze(0);
  const at::Tensor rows = f.ready.model->logits(f.ready.model->final_norm(x.narrow(0, static_cast<std::int64_t>(raw.size()) - (end - begin), end - begin)));
  return PlainDecoder::following(rows, part(ids, begin + 1, end - begin));
}

TEST_CASE("retrieved, memory+retrieved: the segments nearest to what stands before the targets, raw") {
  Fixture f;
  for (const std::int64_t n : {13, 25, 37, 61}) {
    INFO(n);
    const std::vector<std::int32_t> ids = random_ids(n, 63);
    for (const bool has_memories : {false, true}) {
      const char* name = has_memories ? "memory+retrieved" : "retrieved";
      std::vector<double> walked(ids.size(), kNone);
      for (std::int64_t begin = 0; begin < n - 1; begin += 12) {
        const std::int64_t end = std::min(begin + 12, n - 1);
        put(walked, begin + 1, behind(f, ids, nearest(f, ids, begin, begin, 1), has_memories, begin, end));
      }
      for (const std::int64_t batch : {0, 1, 3}) check_scores(f.score(name, ids, 0, batch), walked);
      const std::int64_t first = n - 5, whole = first / 12 * 12;
      std::vector<double> last(ids.size(), kNone);
      const std::vector<double> found = behind(f, ids, nearest(f, ids, whole, first, 1), has_memories, whole, n - 1);
      for (std::int64_t i = first; i < n; ++i) last[static_cast<std::size_t>(i)] = found[static_cast<std::size_t>(i - whole - 1)];
      if (whole != first) check_scores(f.score(name, ids, 5), last);
    }
  }
  // What is to be predicted has no say in what is retrieved.
  std::vector<std::int32_t> ids = random_ids(61, 64);
  const std::vector<double> before = f.score("memory+retrieved", ids, 10);
  ids.back() = ids.back() == 7 ? 8 : 7;
  const std::vector<double> after = f.score("memory+retrieved", ids, 10);
  for (std::size_t i = 51; i < 60; ++i) CHECK(after[i] == before[i]);
  CHECK(after[60] != before[60]);
  // 5 memories, a segment and 11 raw tokens are 38 positions; a memory and a token more are too much, but not if the oldest may go.
  CHECK_NOTHROW(f.score("memory+retrieved", random_ids(72, 65)));
  check_error([&] { f.score("memory+retrieved", random_ids(85, 65)); }, ErrorKind::kMismatch, {"of 'book'", "42 positions", "40"});
  const std::vector<double> dropped = f.score("memory+retrieved", random_ids(150, 65), 0, 0, true);
  CHECK(std::count_if(dropped.begin(), dropped.end(), [](double x) { return std::isfinite(x); }) == 149);
}

TEST_CASE("window: for each segment the most recent tokens that fit") {
  Fixture f;
  for (const std::int64_t n : {1, 2, 13, 40, 41, 42, 60, 100}) {
    const std::vector<std::int32_t> ids = random_ids(n, 56);
    std::vector<double> expected(ids.size(), kNone);
    for (std::int64_t begin = 0; begin < n; begin += 12) {
      const std::int64_t last = std::min(n, begin + 12) - 1, from = std::max<std::int64_t>(0, last - 40);
      if (last <= from) continue;
      const std::vector<double> scores = f.pass(ids, 0, 0, from, last);
      for (std::int64_t i = std::max<std::int64_t>(begin, 1); i <= last; ++i)
        expected[static_cast<std::size_t>(i)] = scores[static_cast<std::size_t>(i - from - 1)];
    }
    check_scores(f.score("window", ids), expected);
  }
}

TEST_CASE("streaming: four sinks and a window that fill the positions") {
  Fixture f;
  const std::vector<std::int32_t> ids = random_ids(90, 57);
  const at::Tensor logits = f.plain.logits(part(ids, 0, 89), [](std::int64_t t) {
    if (t < 40) return PlainDecoder::causal(t);
    View sees{39, {}};
    for (std::int64_t i = 0; i < 4; ++i) sees.keys.emplace_back(i, i);
    for (std::int64_t i = 0; i < 36; ++i) sees.keys.emplace_back(t - 35 + i, 4 + i);
    return sees;
  });
  std::vector<double> expected(ids.size(), kNone);
  put(expected, 1, PlainDecoder::following(logits, part(ids, 1, 89)));
  check_scores(f.score("streaming", ids), expected);
}

// --last: the last tokens are the targets, everything before is context.

TEST_CASE("--last, memory: whole segments as memories, the remainder raw") {
  Fixture f;
  for (const auto& [n, last] : {std::pair<std::int64_t, std::int64_t>{61, 20},
                                {61, 24},
                                {61, 25},
                                {49, 26},
                                {61, 13},
                                {61, 1},
                                {61, 12},
                                {30, 29},
                                {30, 30},
                                {30, 500},
                                {30, 20},
                                {49, 1},
                                {48, 12},
                                {49, 13},
                                {13, 1},
                                {12, 1},
                                {2, 1},
                                {1, 1}}) {
    INFO(n << " tokens, the last " << last);
    const std::vector<std::int32_t> ids = random_ids(n, 58);
    const std::int64_t first = std::max<std::int64_t>(1, n - last), whole = first / 12 * 12;
    std::vector<double> expected(ids.size(), kNone);
    if (n > 1) {
      if (whole < n - 1) put(expected, whole + 1, f.pass(ids, 0, whole / 12, whole, n - 1));
      // Nothing raw before the first target: the last position of the segment before predicts it.
      if (whole == first) expected[static_cast<std::size_t>(first)] = f.pass(ids, 0, whole / 12 - 1, whole - 12, whole).back();
      for (std::int64_t i = 0; i < first; ++i) expected[static_cast<std::size_t>(i)] = kNone;
    }
    for (const std::int64_t batch : {0, 1, 3}) check_scores(f.score("memory", ids, last, batch), expected);
  }
}

TEST_CASE("--last, none: BOS only") {
  const std::vector<std::int32_t> ids = random_ids(61, 59);
  for (const std::int64_t last : {1, 12, 25, 39}) {
    Fixture f;
    std::vector<std::int32_t> alone = {1};
    for (std::int64_t i = 61 - last; i < 61; ++i) alone.push_back(ids[static_cast<std::size_t>(i)]);
    std::vector<double> expected(ids.size(), kNone);
    put(expected, 61 - last, f.pass(alone, 0, 0, 0, last));
    check_scores(f.score("none", ids, last), expected);
    // A tokenizer without BOS: nothing predicts the first target.
    Fixture bare(Json::object(), at::kDouble, -1);
    std::vector<double> rest(ids.size(), kNone);
    if (last > 1) put(rest, 62 - last, bare.pass(ids, 0, 0, 61 - last, 60));
    check_scores(bare.score("none", ids, last), rest);
  }
  Fixture f;
  check_error([&] { f.score("none", ids, 41); }, ErrorKind::kMismatch, {"'none' of 'book'", "41 positions", "40"});
}

TEST_CASE("--last, full and window") {
  Fixture f;
  const std::vector<std::int32_t> ids = random_ids(41, 60), longer = random_ids(80, 61);
  std::vector<double> expected(ids.size(), kNone);
  put(expected, 1, f.pass(ids, 0, 0, 0, 40));
  for (std::size_t i = 0; i < 30; ++i) expected[i] = kNone;
  check_scores(f.score("full", ids, 11), expected);
  check_error([&] { f.score("full", longer, 5); }, ErrorKind::kMismatch, {"'full'", "79 positions", "40"});
  // One window that ends with the document.
  std::vector<double> recent(longer.size(), kNone);
  put(recent, 40, f.pass(longer, 0, 0, 39, 79));
  for (std::size_t i = 0; i < 68; ++i) recent[i] = kNone;
  check_scores(f.score("window", longer, 12), recent);
  check_error([&] { f.score("window", longer, 41); }, ErrorKind::kMismatch, {"'window' of 'book'"});
}

TEST_CASE("f32 is near, fast and plain") {
  Fixture wide, narrow(Json::object(), at::kFloat);
  const std::vector<std::int32_t> ids = random_ids(100, 62);
  for (const char* context : {"none", "memory", "window", "streaming"}) {
    INFO(context);
    const std::vector<double> expected = wide.score(context, ids);
    check_scores(narrow.score(context, ids), expected, 1e-3);
    const test::ForceReference plain;
    check_scores(narrow.score(context, ids), expected, 1e-3);
    check_scores(wide.score(context, ids), expected, 1e-10);
  }
}

TEST_CASE("the table of contexts") {
  for (const ContextEntry& entry : score_contexts()) CHECK(&find_context(std::string(entry.name)) == &entry);
  check_error([] { find_context("everything"); }, ErrorKind::kUsage,
              {"'everything'", "none", "memory", "window", "full", "streaming"});
}

TEST_CASE("a document of nothing scores nothing") {
  Fixture f;
  for (const ContextEntry& entry : score_contexts()) {
    INFO(std::string(entry.name));
    CHECK(f.score(std::string(entry.name).c_str(), {}).empty());
    CHECK(f.score(std::string(entry.name).c_str(), {}, 3).empty());
    const std::vector<double> one = f.score(std::string(entry.name).c_str(), {1});
    CHECK((one.size() == 1 && std::isnan(one[0])));
  }
}

}  // namespace
}  // namespace uio
