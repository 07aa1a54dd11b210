// Adapter directories: what they say, where slots stand, and every refusal.
#include "memory/adapter.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "unit/memory/tiny_method.h"
#include "unit/model/tiny.h"

namespace uio {
namespace {

using test::check_error;
using test::tiny_adapter_config;
using test::tiny_adapter_weights;
using test::TinyModel;
using test::write_adapter;

AdapterConfig parse(const Json& changes) { return parse_adapter_config(tiny_adapter_config(changes), "adapter_config.json"); }

TEST_CASE("a configuration") {
  const AdapterConfig c = parse(
      Json{{"memory_mask", "causal"}, {"encoder_targets", Json::array({"q_proj", "down_proj"})}, {"base_fingerprint", "ab"}});
  CHECK(c.method == "uio");
  CHECK(c.segment_length == 12);
  CHECK(c.memory_length == 3);
  CHECK(c.lora_rank == 2);
  CHECK(c.lora_alpha == 5);
  CHECK(c.mask == SlotRule::kCausal);
  CHECK(c.positions == SlotRule::kStaged);
  CHECK((c.encoder_targets == std::vector<Projection>{Projection::kQuery, Projection::kDown}));
  CHECK((c.transfer_targets == std::vector<Projection>{Projection::kKey, Projection::kValue}));
  CHECK(c.base_fingerprint == "ab");
}

TEST_CASE("keys that are missing, unknown or of another type") {
  const Json whole = tiny_adapter_config();
  for (const auto& [key, value] : whole.items()) {
    check_error([&] { parse(Json{{key, nullptr}}); }, ErrorKind::kData, {"'adapter_config.json'", "'" + key + "'", "missing"});
    check_error(
        [&] {
          parse(Json{{key, value.is_array() ? Json("q_proj") : Json::array({1})}});
        },
        ErrorKind::kData, {"'" + key + "'"});
  }
  for (const char* key : {"segment_length", "memory_length"})
    for (const Json& value :
         {Json(0), Json(-1), Json(2.5), Json("3"), Json(1e18), Json(std::numeric_limits<std::uint64_t>::max())})
      check_error([&] { parse(Json{{key, value}}); }, ErrorKind::kData, {"'" + std::string(key) + "'"});
  check_error([] { parse(Json{{"lora_rank", -1}}); }, ErrorKind::kData, {"'lora_rank'"});
  check_error([] { parse(Json{{"lora_alpha", "5"}}); }, ErrorKind::kData, {"'lora_alpha'"});
  check_error([] { parse(Json{{"base_fingerprint", 5}}); }, ErrorKind::kData, {"'base_fingerprint'"});
  check_error([] { parse(Json{{"lora_dropout", 0}}); }, ErrorKind::kMismatch, {"'lora_dropout'", "not understood"});
  check_error([] { parse(Json{{"format", "peft"}}); }, ErrorKind::kMismatch, {"'peft'", "'uio-adapter'"});
  check_error([] { parse(Json{{"version", 2}}); }, ErrorKind::kMismatch, {"version is 2", "expected 1"});
  for (const char* key : {"memory_mask", "memory_positions"})
    check_error([&] { parse(Json{{key, "graded"}}); }, ErrorKind::kMismatch, {"'" + std::string(key) + "'", "'graded'"});
  check_error(
      [] {
        parse(Json{{"encoder_targets", Json::array({"w_proj"})}});
      },
      ErrorKind::kMismatch, {"'encoder_targets'", "w_proj"});
  check_error([] { parse(Json{{"encoder_targets", Json::array({1})}}); }, ErrorKind::kMismatch, {"'encoder_targets'"});
  for (const char* name : {"q_proj", "o_proj", "down_proj"})
    check_error(
        [&] {
          parse(Json{{"transfer_targets", Json::array({name})}});
        },
        ErrorKind::kMismatch, {"'transfer_targets'", name});
  for (const Json& json : {Json::array(), Json("x"), Json()})
    check_error([&] { parse_adapter_config(json, "adapter_config.json"); }, ErrorKind::kData, {"not a JSON object"});
}

// (i+1)·L/M to the nearest integer, halves up; the last slot always covers and stands behind the whole segment.
TEST_CASE("covers and positions of slots") {
  Adapter adapter;
  for (const auto& [length, slots] :
       {std::pair<std::uint32_t, std::uint32_t>{1024, 32}, {40, 7}, {12, 3}, {13, 2}, {5, 5}, {3, 7}, {1, 1}, {17, 4}}) {
    adapter.config.segment_length = length;
    adapter.config.memory_length = slots;
    adapter.config.mask = adapter.config.positions = SlotRule::kStaged;
    std::int64_t before = 0;
    for (std::int64_t i = 0; i < slots; ++i) {
      const double exact = static_cast<double>(i + 1) * length / slots;
      CHECK(adapter.slot_cover(i) == static_cast<std::int64_t>(std::floor(exact + 0.5)));
      CHECK(adapter.slot_position(i) == adapter.slot_cover(i));
      CHECK(adapter.slot_cover(i) >= before);
      before = adapter.slot_cover(i);
    }
    CHECK(before == length);
    adapter.config.mask = adapter.config.positions = SlotRule::kCausal;
    for (std::int64_t i = 0; i < slots; ++i) {
      CHECK(adapter.slot_cover(i) == length);
      CHECK(adapter.slot_position(i) == length + i);
    }
  }
  // A shorter segment's are those of an adapter of its length.
  Adapter shorter = adapter;
  for (const auto& [rule, slots] : {std::pair<SlotRule, std::uint32_t>{SlotRule::kStaged, 5}, {SlotRule::kCausal, 5}, {SlotRule::kStaged, 40}}) {
    adapter.config.segment_length = 23;
    for (Adapter* one : {&adapter, &shorter}) {
      one->config.mask = one->config.positions = rule;
      one->config.memory_length = slots;
    }
    for (const std::uint32_t tokens : {1u, 4u, 17u, 23u}) {
      shorter.config.segment_length = tokens;
      for (std::int64_t i = 0; i < slots; ++i) {
        CHECK(adapter.slot_cover(i, tokens) == shorter.slot_cover(i));
        CHECK(adapter.slot_position(i, tokens) == shorter.slot_position(i));
      }
    }
  }
  // Each of the two rules by itself.
  adapter.config.segment_length = 12, adapter.config.memory_length = 3;
  adapter.config.mask = SlotRule::kStaged, adapter.config.positions = SlotRule::kCausal;
  CHECK((adapter.slot_cover(0) == 4 && adapter.slot_position(0) == 12));
  adapter.config.mask = SlotRule::kCausal, adapter.config.positions = SlotRule::kStaged;
  CHECK((adapter.slot_cover(0) == 12 && adapter.slot_position(0) == 4));
}

struct Fixture {
  TinyModel tiny;
  Model model = tiny.load();
  Json config = tiny_adapter_config();
  test::Tensors weights = tiny_adapter_weights(config, model.config(), 5, false);
  Adapter load() { return load_adapter(write_adapter(tiny.scratch, config, weights), model); }
};

TEST_CASE("an adapter's tensors arrive where they belong") {
  Fixture f;
  const Adapter adapter = f.load();
  CHECK(at::equal(adapter.memory_tokens, f.weights.at("memory_tokens")));
  CHECK(adapter.encoder.size() == 3);
  const Lora& lora = adapter.encoder[1][static_cast<int>(Projection::kValue)];
  CHECK(at::equal(lora.a, f.weights.at("encoder.layers.1.self_attn.v_proj.lora_A.weight")));
  CHECK(at::equal(lora.b, f.weights.at("encoder.layers.1.self_attn.v_proj.lora_B.weight")));
  CHECK(lora.scale == 2.5);
  CHECK_FALSE(adapter.encoder[1][static_cast<int>(Projection::kKey)].a.defined());
  CHECK(at::equal(adapter.transfer[2][static_cast<int>(Projection::kKey)].b,
                  f.weights.at("transfer.layers.2.self_attn.k_proj.lora_B.weight")));
  CHECK(adapter.fingerprint.size() == 64);
}

TEST_CASE("one shared row, and no LoRA at all") {
  Fixture f;
  f.config["lora_rank"] = 0;
  f.weights = tiny_adapter_weights(f.config, f.model.config(), 5, true);
  const Adapter adapter = f.load();
  CHECK(adapter.memory_tokens.sizes() == at::IntArrayRef({1, 24}));
  CHECK_FALSE(adapter.encoder[0][0].a.defined());
}

TEST_CASE("every projection can be a target of the encoder") {
  Fixture f;
  f.config["encoder_targets"] = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  f.weights = tiny_adapter_weights(f.config, f.model.config(), 5, false);
  const Adapter adapter = f.load();
  for (int p = 0; p < kProjections; ++p) CHECK(adapter.encoder[2][static_cast<std::size_t>(p)].a.defined());
}

TEST_CASE("adapters of other shapes") {
  const auto with = [](const std::function<void(Fixture&)>& change) {
    Fixture f;
    change(f);
    f.load();
  };
  for (const auto& entry : Fixture().weights) {
    const std::string& name = entry.first;
    INFO(name);
    check_error([&] { with([&](Fixture& f) { f.weights.erase(name); }); }, ErrorKind::kData, {"'" + name + "'", "missing"});
    check_error([&] { with([&](Fixture& f) { f.weights[name] = f.weights[name].t().contiguous(); }); }, ErrorKind::kMismatch,
                {"'" + name + "'", "expected"});
    check_error([&] { with([&](Fixture& f) { f.weights[name] = f.weights[name].to(at::kInt); }); }, ErrorKind::kMismatch,
                {"'" + name + "'", "I32"});
  }
  check_error([&] { with([](Fixture& f) { f.weights["extra"] = at::zeros({1}); }); }, ErrorKind::kMismatch,
              {"'extra'", "not understood"});
  check_error([&] { with([](Fixture& f) { f.config["memory_length"] = 4; }); }, ErrorKind::kMismatch,
              {"'memory_tokens'", "[3, 24]", "[4, 24]"});
  check_error([&] { with([](Fixture& f) { f.config["lora_rank"] = 0; }); }, ErrorKind::kMismatch, {"lora_A", "not understood"});
  check_error([&] { with([](Fixture& f) { f.config["base_fingerprint"] = "0123"; }); }, ErrorKind::kMismatch,
              {"0123", "another model"});
  CHECK_NOTHROW(with([](Fixture& f) { f.config["base_fingerprint"] = f.model.fingerprint(); }));
  // Numbers of another width are taken.
  CHECK_NOTHROW(with([](Fixture& f) {
    for (auto& entry : f.weights) entry.second = entry.second.to(at::kBFloat16);
  }));
}

TEST_CASE("missing parts of a directory") {
  Fixture f;
  const std::string directory = write_adapter(f.tiny.scratch, f.config, f.weights);
  std::filesystem::remove(directory + "/adapter_model.safetensors");
  check_error([&] { load_adapter(directory, f.model); }, ErrorKind::kIo, {"adapter_model.safetensors"});
  std::filesystem::remove(directory + "/adapter_config.json");
  check_error([&] { load_adapter(directory, f.model); }, ErrorKind::kIo, {"adapter_config.json"});
}

TEST_CASE("fingerprints of adapters") {
  std::set<std::string> seen;
  const auto fingerprint = [](const std::function<void(Fixture&)>& change) {
    Fixture f;
    change(f);
    return f.load().fingerprint;
  };
  const std::string one = fingerprint([](Fixture&) {});
  CHECK(fingerprint([](Fixture&) {}) == one);
  seen.insert(one);
  const std::vector<std::function<void(Fixture&)>> changes = {
      [](Fixture& f) { f.config["lora_alpha"] = 6; },
      [](Fixture& f) { f.config["segment_length"] = 15; },
      [](Fixture& f) { f.config["memory_mask"] = "causal"; },
      [](Fixture& f) { f.config["memory_positions"] = "causal"; },
      [](Fixture& f) { f.weights["memory_tokens"] = f.weights["memory_tokens"] + 1e-3; },
      [](Fixture& f) { f.weights["transfer.layers.0.self_attn.k_proj.lora_B.weight"][0][0] += 1e-3; },
  };
  for (const auto& change : changes) CHECK(seen.insert(fingerprint(change)).second);
  // Whose it is said to be changes nothing of what is computed.
  CHECK(fingerprint([](Fixture& f) { f.config["base_fingerprint"] = f.model.fingerprint(); }) == one);
}

TEST_CASE("a fresh adapter is the end-of-sequence row for all slots") {
  const TinyModel tiny;
  const Model model = tiny.load();
  const Adapter adapter = fresh_adapter(model, 12, 3);
  CHECK(at::equal(adapter.memory_tokens[0], tiny.weights.at("model.embed_tokens.weight")[2]));
  CHECK(adapter.config.segment_length == 12);
  CHECK(adapter.config.memory_length == 3);
  CHECK(adapter.fingerprint != fresh_adapter(model, 12, 4).fingerprint);
  CHECK(adapter.fingerprint == fresh_adapter(model, 12, 3).fingerprint);
  const TinyModel other(Json::object(), 2);
  CHECK(adapter.fingerprint != fresh_adapter(other.load(), 12, 3).fingerprint);
  const TinyModel outside(Json{{"eos_token_id", 999}});
  check_error([&] { fresh_adapter(outside.load(), 12, 3); }, ErrorKind::kMismatch, {"999"});
}

TEST_CASE("which adapter is chosen") {
  Fixture f;
  ModelChoice choice;
  choice.model = f.tiny.directory();
  const Error none = test::error_of([&] { choose_adapter(choice, f.model); });
  CHECK(none.kind() == ErrorKind::kUsage);
  CHECK_FALSE(none.hint().empty());
  const std::string directory = write_adapter(f.tiny.scratch, f.config, f.weights);
  CHECK(choose_adapter(choice, f.model).fingerprint == f.load().fingerprint);
  choice.segment_length = 12, choice.memory_length = 3;
  CHECK_NOTHROW(choose_adapter(choice, f.model));
  choice.segment_length = 16;
  check_error([&] { choose_adapter(choice, f.model); }, ErrorKind::kUsage, {"--segment-length", "16 asked for", "12 trained"});
  choice.segment_length = 0, choice.memory_length = 4;
  check_error([&] { choose_adapter(choice, f.model); }, ErrorKind::kUsage, {"--memory-length", "4 asked for", "3 trained"});
  choice.adapter = "fresh";
  CHECK(choose_adapter(choice, f.model).config.memory_length == 4);
  CHECK(choose_adapter(choice, f.model).config.segment_length == 48);  // half the positions, where nothing is said
  choice.segment_length = 95, choice.memory_length = 1;
  CHECK_NOTHROW(choose_adapter(choice, f.model));  // position 95 is the last of 96
  choice.segment_length = 96;
  check_error([&] { choose_adapter(choice, f.model); }, ErrorKind::kMismatch, {"L 96", "M 1", "97 positions", "96"});
  choice.adapter = f.tiny.scratch.path("missing");
  check_error([&] { choose_adapter(choice, f.model); }, ErrorKind::kIo, {"adapter_config.json"});
}

TEST_CASE("an adapter for other segments") {
  Fixture f;
  const Adapter rows = f.load();
  CHECK(with_segments(rows, {20, 0}, f.model).config.segment_length == 20);
  CHECK(with_segments(rows, {20, 0}, f.model).config.memory_length == 3);
  CHECK(with_segments(rows, {0, 0}, f.model).config.segment_length == 12);
  check_error([&] { with_segments(rows, {0, 4}, f.model); }, ErrorKind::kUsage, {"--memory-length", "'4'", "3 memory tokens", "row of its own"});
  const Adapter shared = fresh_adapter(f.model, 12, 3);
  const Adapter more = with_segments(shared, {20, 5}, f.model);
  CHECK(more.config.segment_length == 20);
  CHECK(more.config.memory_length == 5);
  CHECK(more.slot_cover(4) == 20);
  check_error([&] { with_segments(shared, {96, 0}, f.model); }, ErrorKind::kMismatch, {"L 96", "M 3", "97 positions", "96"});
}

}  // namespace
}  // namespace uio
