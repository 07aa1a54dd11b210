// Memory layers against the released LongLLaMA written out in double: scoring, memories and generation.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "memory/context.h"
#include "memory/memory_tensor.h"
#include "memory/method.h"
#include "memory/window_context.h"
#include "memory/window_session.h"
#include "unit/memory/plain_fot.h"
#include "unit/memory/tiny_method.h"

namespace uio {
namespace {

using test::check_error;
using test::ids_tensor;
using test::largest_difference;
using test::part;
using test::PlainFot;
using test::random_ids;

// Windows of 16, tail of 6, memory in layers 0 and 2 of 3; 4 heads on 2.
struct Fixture {
  explicit Fixture(const Json& changes = Json::object(), std::int64_t nearest = 0, at::ScalarType dtype = at::kDouble)
      : tiny(test::with_changes(Json{{"model_type", "longllama"}, {"mem_layers", {2, 0}}, {"mem_dtype", "float64"}, {"max_position_embeddings", 16},
                                     {"last_context_length", 6}},
                                changes)),
        model(tiny.load(dtype)),
        nearest(nearest) {
    ModelChoice choice;
    choice.model = tiny.directory();
    if (nearest > 0) choice.search = "exact", choice.nearest = static_cast<std::uint32_t>(nearest);
    method = make_method(model, choose_adapter(choice, model));
  }
  PlainFot plain() const {
    const MemoryLayers& memory = method->adapter().window.memory;
    PlainFot plain(tiny, {memory.layers.begin(), memory.layers.end()}, method->segment_length(), method->adapter().window.tail);
    plain.has_positions = memory.has_positions;
    plain.kept = memory.dtype == DType::kBf16 ? at::kBFloat16 : at::kDouble;
    plain.nearest = nearest;
    return plain;
  }
  at::Tensor logits(const at::Tensor& x) const { return model.logits(model.final_norm(x)); }
  std::vector<double> score(const std::vector<std::int32_t>& ids, std::int64_t first = 1, Precision precision = Precision::kExact,
                            std::span<const TokenSequence* const> earlier = {}) const {
    std::vector<double> scores(ids.size() - 1, std::numeric_limits<double>::quiet_NaN());
    const std::string name = "book";
    const TokenList tokens(ids);
    method->walk({"memory", name, tokens, first, first > 1, false, 0, Form::kKv, precision, earlier}, [&](std::int64_t begin, const at::Tensor& rows) {
      const at::Tensor table = at::log_softmax(logits(rows), -1);
      for (std::int64_t i = 0; i < rows.size(0); ++i)
        scores[static_cast<std::size_t>(begin + i)] = table[i][ids[static_cast<std::size_t>(begin + i + 1)]].item<double>();
    });
    return scores;
  }
  std::unique_ptr<DecoderSession> session() const { return method->make_session(0, false); }

  test::TinyModel tiny;
  Model model;
  std::int64_t nearest;
  std::unique_ptr<MemoryMethod> method;
};

double largest(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

TEST_CASE("documents of any length are scored as the release scores them") {
  for (const Json& changes : {Json::object(), Json{{"mem_positionals", false}}, Json{{"mem_dtype", "bfloat16"}}, Json{{"mem_layers", {1}}},
                              Json{{"last_context_length", 16}}, Json{{"model_type", "qwen2"}}}) {
    const Fixture f(changes);
    for (const std::int64_t n : {2, 6, 7, 22, 23, 38, 60}) {
      INFO(changes.dump() << " " << n);
      const std::vector<std::int32_t> ids = random_ids(n, 7);
      PlainFot plain = f.plain();
      CHECK(largest(f.score(ids), plain.score(ids)) < 1e-9);
    }
  }
}

TEST_CASE("only the targets' windows are predicted, and their figures stay the same") {
  const Fixture f;
  const std::vector<std::int32_t> ids = random_ids(60, 8);
  const std::vector<double> all = f.score(ids);
  for (const std::int64_t first : {2, 20, 54, 59}) {
    const std::vector<double> some = f.score(ids, first);
    for (std::size_t t = static_cast<std::size_t>(first); t < ids.size(); ++t) CHECK(std::abs(some[t - 1] - all[t - 1]) < 1e-12);
    CHECK(std::isnan(some[0]) == (first > 16));
  }
}

TEST_CASE("windows that go side by side where no window sees another are windows alone") {
  for (const Json& changes : {Json::object(), Json{{"mem_positionals", false}}, Json{{"mem_dtype", "bfloat16"}}}) {
    const Fixture f(test::with_changes(Json{{"mem_layers", {1}}}, changes));
    CHECK_FALSE(f.method->is_recurrent());
    const std::vector<std::int32_t> ids = random_ids(2200, 8);  // twice 64 windows of 16, and some
    const std::vector<double> alone = f.score(ids), together = f.score(ids, 2150);
    for (std::size_t t = 2150; t < ids.size(); ++t) CHECK(std::abs(together[t - 1] - alone[t - 1]) < (changes.contains("mem_dtype") ? 1e-4 : 1e-9));
  }
  CHECK(Fixture().method->is_recurrent());
}

TEST_CASE("documents before one are in its memory, their tails too") {
  const Fixture f;
  const std::vector<std::int32_t> ids = random_ids(40, 12);
  for (const std::int64_t size : {3, 6, 16, 22, 45}) {
    const std::vector<std::int32_t> first = random_ids(size, 13), second = random_ids(20, 14);
    PlainFot plain = f.plain();
    for (const auto* document : {&first, &second}) {
      plain.input(*document);
      plain.move();
    }
    const TokenList lists[] = {TokenList(first), TokenList(second)};
    const TokenSequence* const earlier[] = {&lists[0], &lists[1]};
    const std::vector<double> expected = plain.score(ids);
    CHECK(largest(f.score(ids, 1, Precision::kExact, earlier), expected) < 1e-9);
    CHECK(largest(f.score(ids, 1, Precision::kInt8, earlier), expected) < 0.5);
  }
}

TEST_CASE("the nearest keys: for each head and query, and all of them when there are no more") {
  const std::vector<std::int32_t> ids = random_ids(60, 9);
  const Fixture dense;
  for (const std::int64_t nearest : {1, 3, 20}) {
    const Fixture f(Json::object(), nearest);
    PlainFot plain = f.plain();
    CHECK(largest(f.score(ids), plain.score(ids)) < 1e-9);
    CHECK(largest(f.score(ids), dense.score(ids)) > 1e-4);
  }
  CHECK(largest(Fixture(Json::object(), 54).score(ids), dense.score(ids)) < 1e-12);
}

// The method of `f` with memory that leaves RAM for the folder `spill` stretch by stretch of at most so many bytes.
std::unique_ptr<MemoryMethod> spilling(const Fixture& f, std::int64_t bytes) {
  ModelChoice choice;
  choice.model = f.tiny.directory();
  choice.search = "exact";
  choice.nearest = static_cast<std::uint32_t>(f.nearest);
  choice.memory_dir = f.tiny.scratch.path("spill");
  std::filesystem::create_directory(choice.memory_dir);
  Adapter adapter = choose_adapter(choice, f.model);
  adapter.window.search.spill_bytes = bytes;
  return make_method(f.model, std::move(adapter));
}

TEST_CASE("memory that leaves RAM for a folder is searched as before, and leaves no file there") {
  const std::vector<std::int32_t> ids = random_ids(150, 9);
  const TokenList tokens(ids);
  const std::string name = "book";
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16})
    for (const Json& changes : {Json::object(), Json{{"mem_positionals", false}}, Json{{"mem_dtype", "bfloat16"}}, Json{{"mem_dtype", "float32"}},
                                Json{{"rope_scaling", {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 4}}}}})
      for (const std::int64_t nearest : {3, 300}) {
        const Fixture f(changes, nearest, dtype);
        for (const std::int64_t bytes : {1, 2000, 10000}) {  // to a stretch: from a row to most of the text
          INFO(changes.dump() << " " << at::toString(dtype) << " " << nearest << " " << bytes);
          const auto method = spilling(f, bytes);
          const auto scores = [&](const MemoryMethod& one, Precision precision) {
            std::vector<at::Tensor> found;
            one.walk({"memory", name, tokens, 100, true, false, 0, Form::kKv, precision}, [&](std::int64_t, const at::Tensor& x) { found.push_back(x.clone()); });
            return at::cat(found);
          };
          for (const Precision precision : {Precision::kExact, Precision::kInt8}) CHECK(at::equal(scores(*method, precision), scores(*f.method, precision)));
          const auto spilled = method->make_session(0, false), whole = f.session();
          CHECK(at::equal(spilled->add_tokens(part(ids, 0, 120)), whole->add_tokens(part(ids, 0, 120))));
          for (std::int64_t t = 120; t < 150; ++t) CHECK(at::equal(spilled->add_tokens(part(ids, t, 1)), whole->add_tokens(part(ids, t, 1))));
          CHECK(std::filesystem::is_empty(f.tiny.scratch.path("spill")));
        }
      }
}

TEST_CASE("a folder for memory that cannot be used") {
  const Fixture f(Json::object(), 3);
  ModelChoice choice;
  choice.model = f.tiny.directory();
  choice.memory_dir = f.tiny.scratch.path("missing");
  choice.search = "exact";
  check_error([&] { choose_adapter(choice, f.model); }, ErrorKind::kIo, {"memory cannot be kept", "missing", "no such directory"});
  choice.search = "dense";
  check_error([&] { choose_adapter(choice, f.model); }, ErrorKind::kUsage, {"memory cannot be kept", "all of it is to be seen"});
}

TEST_CASE("memories are raw keys and values of the memory layers, of each window after those before it") {
  for (const char* dtype : {"float64", "bfloat16"}) {
    const Fixture f(Json{{"mem_dtype", dtype}});
    const std::vector<std::int32_t> ids = random_ids(45, 10);
    PlainFot plain = f.plain();
    plain.input(ids);
    std::vector<at::Tensor> earlier, keys, values;
    for (const std::int64_t begin : {0, 16, 32}) {
      const at::Tensor hidden = f.method->encode(ids_tensor(part(ids, begin, begin == 32 ? 7 : 16)), earlier);
      const KeysValues kv = f.method->transfer(hidden);
      earlier.push_back(hidden);
      keys.push_back(kv.keys[0]);
      values.push_back(kv.values[0]);
      CHECK(kv.keys.scalar_type() == (dtype == std::string("float64") ? at::kDouble : at::kBFloat16));
    }
    for (const std::int64_t layer : {0, 1}) {
      const PlainFot::Cache& cache = plain.memory.at(2 * layer);
      CHECK(largest_difference(at::cat(keys, 2)[layer], PlainFot::stacked(cache.keys)) < (dtype == std::string("float64") ? 1e-10 : 1e-2));
      CHECK(largest_difference(at::cat(values, 2)[layer], PlainFot::stacked(cache.values)) < (dtype == std::string("float64") ? 1e-10 : 1e-2));
    }
  }
}

TEST_CASE("generation: the prompt as an input, then the local window moves whenever it is full") {
  for (const Json& changes : {Json::object(), Json{{"mem_positionals", false}}}) {
    const Fixture f(changes);
    const std::vector<std::int32_t> ids = random_ids(90, 11);
    for (const std::int64_t prompt : {3, 16, 41}) {
      INFO(prompt);
      PlainFot plain = f.plain();
      const auto session = f.session();
      CHECK(largest_difference(f.logits(session->add_tokens(part(ids, 0, prompt)))[0], plain.input(part(ids, 0, prompt)).back()) < 1e-9);
      for (std::int64_t t = prompt; t < 90; ++t) {
        session->prepare();
        DecoderSession* const alone[] = {session.get()};
        const std::int32_t id[] = {ids[static_cast<std::size_t>(t)]};
        const at::Tensor row = DecoderSession::add_token_each(alone, id);
        session->settle();
        CHECK(largest_difference(f.logits(row)[0], plain.step(id[0])) < 1e-9);
      }
      // What moved and what is local are the text.
      std::vector<std::int32_t> text;
      for (const DecoderSession::Compressed& one : session->take_compressed()) {
        CHECK(one.kv.keys.size(3) == static_cast<std::int64_t>(one.tokens.size()));
        text.insert(text.end(), one.tokens.begin(), one.tokens.end());
      }
      text.insert(text.end(), session->local().begin(), session->local().end());
      CHECK(text == ids);
    }
  }
}

TEST_CASE("sessions side by side are sessions alone") {
  const Fixture f;
  const std::vector<std::int32_t> ids = random_ids(60, 12);
  const auto first = f.session(), second = f.session(), alone = f.session();
  first->add_tokens(part(ids, 0, 30));
  second->add_tokens(part(ids, 10, 5));
  alone->add_tokens(part(ids, 0, 30));
  for (std::int64_t t = 30; t < 60; ++t) {
    DecoderSession* const both[] = {first.get(), second.get()};
    const std::int32_t next[] = {ids[static_cast<std::size_t>(t)], ids[static_cast<std::size_t>(59 - t)]};
    for (DecoderSession* session : both) session->prepare();
    const at::Tensor rows = DecoderSession::add_token_each(both, next);
    CHECK(largest_difference(rows.narrow(0, 0, 1), alone->add_tokens({next[0]})) < 1e-9);
  }
}

TEST_CASE("memories that are read, the tail and a prompt are the document and the prompt") {
  const Fixture f;
  const std::vector<std::int32_t> ids = random_ids(50, 13);
  PlainFot plain = f.plain();
  plain.input(part(ids, 0, 40));
  std::vector<at::Tensor> logits;
  for (std::int64_t t = 40; t < 50; ++t) logits.push_back(plain.step(ids[static_cast<std::size_t>(t)]));  // 6 and 10 fit the window

  const auto session = f.session();
  std::vector<at::Tensor> earlier;
  for (const auto& [begin, count] : {std::pair<std::int64_t, std::int64_t>{0, 16}, {16, 16}, {32, 2}}) {
    earlier.push_back(f.method->encode(ids_tensor(part(ids, begin, count)), std::vector<at::Tensor>(earlier)));
    session->add_memory(f.method->transfer(earlier.back()));
  }
  Segment tail;
  tail.span.is_last = true;
  tail.segment_length = 16;
  tail.tokens = part(ids, 34, 6);
  session->add_segment(tail);
  CHECK(largest_difference(f.logits(session->add_tokens(part(ids, 40, 10)))[0], logits.back()) < 1e-9);
  CHECK(session->take_compressed().empty());
  CHECK(session->local() == part(ids, 34, 16));

  // The segments themselves, raw, make the same memories on the way.
  const auto raw = f.session();
  for (const auto& [begin, count] : {std::pair<std::int64_t, std::int64_t>{0, 16}, {16, 16}, {32, 2}}) {
    Segment window;
    window.segment_length = 16;
    window.is_closed = true;
    window.tokens = part(ids, begin, count);
    CHECK(raw->add_segment(window).defined());
  }
  CHECK(raw->take_compressed().size() == 3);
  raw->add_segment(tail);
  CHECK(largest_difference(f.logits(raw->add_tokens(part(ids, 40, 10)))[0], logits.back()) < 1e-9);

  // Another document's begin: the tail of the one before is memory by then.
  raw->end_document();
  CHECK(raw->local().empty());
  CHECK(raw->take_compressed().empty());
  plain.move();
  CHECK(largest_difference(f.logits(raw->add_tokens({7}))[0], plain.step(7)) < 1e-9);
}

TEST_CASE("without memory it is a plain decoder, to the bit") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const Fixture f(Json::object(), 0, dtype);
    const at::Tensor ids = ids_tensor(random_ids(16, 14));
    DecoderContext plain(f.model, 16);
    WindowContext own(f.model, f.method->adapter().window, 16);
    for (const auto& [begin, count] : {std::pair<std::int64_t, std::int64_t>{0, 5}, {5, 10}, {15, 1}})
      CHECK(at::equal(own.add_tokens(ids.narrow(1, begin, count)), plain.add_tokens(ids.narrow(1, begin, count))));
  }
}

TEST_CASE("memories kept less exactly are read so, and are made of exact ones") {
  const Fixture f;
  const std::vector<std::int32_t> ids = random_ids(40, 15);
  const std::vector<double> exact = f.score(ids), kept = f.score(ids, 1, Precision::kInt8);
  CHECK(largest(exact, kept) > 1e-6);
  CHECK(largest(exact, kept) < 0.5);
  for (std::size_t t = 0; t < 15; ++t) CHECK(std::abs(exact[t] - kept[t]) < 1e-12);  // before there is memory
}

TEST_CASE("records of memory layers, and what is refused") {
  const Fixture f;
  Segment segment;
  segment.span = {"book", 0, 0, 0, 9, false};
  segment.tokenizer = std::string(64, 't');
  segment.segment_length = 16;
  segment.is_closed = true;
  segment.tokens = random_ids(9, 16);
  const at::Tensor hidden = f.method->encode(ids_tensor(segment.tokens));
  const KeysValues kv = f.method->transfer(hidden);
  const Memory memory = to_record(segment, *f.method, f.model, Form::kKv, hidden[0], kv.keys[0], kv.values[0]);
  CHECK(memory.method == "fot");
  CHECK(memory.positions == "first");
  CHECK(memory.layers == 2);
  CHECK(memory.memory_length == 9);
  CHECK(memory.segment_length == 16);
  CHECK(memory.dtype == DType::kF64);
  CHECK(at::equal(from_record(memory, f.model, segment.tokenizer, f.method.get()).values, kv.values));
  check_error([&] { from_record(memory, f.model, segment.tokenizer, nullptr); }, ErrorKind::kMismatch, {"another method", "fot"});
  check_error([&] { to_record(segment, *f.method, f.model, Form::kHidden, hidden[0], kv.keys[0], kv.values[0]); }, ErrorKind::kMismatch, {"hidden", "fot"});
  const auto uio = make_method(f.model, fresh_adapter(f.model, 12, 3));
  check_error([&] { from_record(memory, f.model, segment.tokenizer, uio.get()); }, ErrorKind::kMismatch, {"another method", "made with fot, this one is uio"});
  const at::Tensor slots = uio->encode(ids_tensor(segment.tokens));
  const KeysValues slot_kv = uio->transfer(slots);
  const Memory other = to_record(segment, *uio, f.model, Form::kKv, slots[0], slot_kv.keys[0], slot_kv.values[0]);
  check_error([&] { from_record(other, f.model, segment.tokenizer, f.method.get()); }, ErrorKind::kMismatch, {"another method", "made with uio, this one is fot"});

  const auto with = [&](const std::function<void(ModelChoice&)>& change) {
    ModelChoice choice;
    choice.model = f.tiny.directory();
    change(choice);
    return make_method(f.model, choose_adapter(choice, f.model));
  };
  const auto layers = with([](ModelChoice& c) { c.memory_layers = {0, 1}; });
  check_error([&] { from_record(memory, f.model, segment.tokenizer, layers.get()); }, ErrorKind::kMismatch, {"adapter", layers->adapter().fingerprint});
  // How the memory is searched is not the memory's business.
  const auto search = with([](ModelChoice& c) { c.search = "exact"; });
  CHECK_NOTHROW(from_record(memory, f.model, segment.tokenizer, search.get()));
  check_error([&] { with([](ModelChoice& c) { c.memory_layers = {1, 3}; }); }, ErrorKind::kMismatch, {"no such memory layer", "3", "0 to 2"});
  check_error([&] { with([](ModelChoice& c) { c.segment_length = 17; }); }, ErrorKind::kMismatch, {"17 tokens", "16"});
  CHECK(with([](ModelChoice& c) { c.segment_length = 4; })->adapter().window.tail == 4);
  CHECK(with([](ModelChoice& c) { c.adapter = "fresh"; })->adapter().config.method == "uio");

  const test::TinyModel bare;
  const Model plain = bare.load(at::kDouble);
  ModelChoice choice;
  choice.model = bare.directory();
  choice.method = "fot";
  check_error([&] { choose_adapter(choice, plain); }, ErrorKind::kUsage, {"no memory layers", "--memory-layers"});
  choice.method = "";
  choice.memory_layers = {1};
  const Adapter made = choose_adapter(choice, plain);
  CHECK(made.config.method == "fot");
  CHECK(made.config.segment_length == 96);
  CHECK(made.window.tail == 48);
  CHECK(made.window.memory.dtype == DType::kBf16);
}

}  // namespace
}  // namespace uio
