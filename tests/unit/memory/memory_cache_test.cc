// What a kept memory is found by.
#include "memory/memory_cache.h"

#include <catch2/catch.hpp>
#include <functional>
#include <set>

#include "memory/memory_tensor.h"
#include "unit/io/samples.h"
#include "unit/memory/tiny_method.h"

namespace uio {
namespace {

class SilentHost : public Host {
 public:
  void note(const std::string&) override {}
  void warn(const std::string& line) override { FAIL(line); }
  void fail(const Error&) override {}
  void succeed() override {}
  void progress(std::uint64_t, std::uint64_t, const char*) override {}
  double seconds() override { return 0; }
};

TEST_CASE("the key says everything that decides the bytes of a memory, and not where its segment lies") {
  const Memory memory = test::small_memory();
  const std::string key = memory_key(memory, "arithmetic", {});
  CHECK(key.size() == 64);

  Memory elsewhere = memory;
  elsewhere.span = {"another", 7, 28, 100, 120, true};
  elsewhere.keys.clear();
  elsewhere.values.clear();
  CHECK(memory_key(elsewhere, "arithmetic", {}) == key);

  const std::vector<std::function<void(Memory&)>> changes = {
      [](Memory& m) { m.base = test::digits('9'); },        [](Memory& m) { m.tokenizer = test::digits('9'); },
      [](Memory& m) { m.adapter = test::digits('9'); },     [](Memory& m) { m.token_hash = test::digits('9'); },
      [](Memory& m) { m.method = "other"; },                [](Memory& m) { m.positions = "causal"; },
      [](Memory& m) { m.form = Form::kHidden; },            [](Memory& m) { m.dtype = DType::kF32; },
      [](Memory& m) { m.layers += 1; },                     [](Memory& m) { m.kv_heads += 1; },
      [](Memory& m) { m.head_size += 1; },                  [](Memory& m) { m.memory_length += 1; },
      [](Memory& m) { m.segment_length += 1; },             [](Memory& m) { m.token_count -= 1; },
  };
  std::set<std::string> keys = {key, memory_key(memory, "other arithmetic", {}), memory_key(memory, "arithmetic", {0, 2}),
                                memory_key(memory, "arithmetic", {1, 2})};
  for (const auto& change : changes) {
    Memory changed = memory;
    change(changed);
    keys.insert(memory_key(changed, "arithmetic", {}));
  }
  CHECK(keys.size() == 4 + changes.size());
}

TEST_CASE("a memory comes back from the cache, under another document's name too") {
  const test::TinyMethod t(Json::object(), Json::object(), at::kFloat);
  SilentHost host;
  Segment segment = test::small_segment();
  segment.tokens = test::random_ids(9, 1);
  for (const Form form : {Form::kKv, Form::kHidden}) {
    const at::Tensor hidden = t.method->encode(test::ids_tensor(segment.tokens));
    const KeysValues kv = t.method->transfer(hidden);
    const Memory memory = to_record(segment, *t.method, t.model, form, hidden[0], kv.keys[0], kv.values[0]);
    MemoryCache cache(t.tiny.scratch.path("cache"), 1 << 20, host);
    segment.span.document = "another";
    Memory found = memory_header(segment, *t.method, t.model, form);
    const std::string key = memory_key(found, "arithmetic", {});
    CHECK(!cache.fill(found, key));
    CHECK(!holds_memory(t.tiny.scratch.path("cache"), found, key));
    cache.store(memory, memory_key(memory, "arithmetic", {}));
    CHECK(holds_memory(t.tiny.scratch.path("cache"), found, key));
    REQUIRE(cache.fill(found, key));
    CHECK((found.keys == memory.keys));
    CHECK((found.values == memory.values));
    CHECK(found.span.document == "another");
  }
}

TEST_CASE("the arithmetic names the build, the numbers and the kernels") {
  const test::TinyMethod wide(Json::object(), Json::object(), at::kDouble), narrow(Json::object(), Json::object(), at::kFloat);
  const std::string text = describe_arithmetic(narrow.model);
  CHECK(text != describe_arithmetic(wide.model));
  CHECK(text == describe_arithmetic(narrow.model));
  const test::ForceReference plain;
  CHECK(text != describe_arithmetic(narrow.model));
}

}  // namespace
}  // namespace uio
