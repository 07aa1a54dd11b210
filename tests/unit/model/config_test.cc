// config.json: what each family's defaults are, and every refusal with its kind and the key's name.
#include "model/config.h"

#include <catch2/catch.hpp>

#include "unit/model/tiny.h"

namespace uio {
namespace {

using test::check_error;
using test::tiny_config;

ModelConfig parse(const Json& changes) { return parse_model_config(tiny_config(changes), "config.json"); }

TEST_CASE("a Llama") {
  const ModelConfig c = parse({});
  CHECK(c.model_type == "llama");
  CHECK(c.hidden_size == 24);
  CHECK(c.intermediate_size == 32);
  CHECK(c.layers == 3);
  CHECK(c.heads == 4);
  CHECK(c.kv_heads == 2);
  CHECK(c.head_size == 10);
  CHECK(c.vocabulary == 50);
  CHECK(c.positions == 96);
  CHECK(c.capacity() == 96);
  CHECK(c.norm_epsilon == 1e-5);
  CHECK_FALSE(c.tied_embeddings);
  CHECK_FALSE((c.qkv_bias || c.output_bias || c.mlp_bias || c.qk_norm));
  CHECK(c.sliding == std::vector<std::int64_t>{0, 0, 0});
  CHECK(c.eos == std::vector<std::int32_t>{2});
  CHECK(c.bos == 1);
  CHECK(c.rope.kind == RopeKind::kDefault);
  CHECK(c.rope.theta == 10000);
}

// Of transformers 4.57's configuration classes: what a checkpoint that leaves a key out means.
TEST_CASE("defaults of the families") {
  const auto defaults = [](const char* family) {
    return parse({{"model_type", family},
                  {"head_dim", nullptr},
                  {"num_key_value_heads", nullptr},
                  {"max_position_embeddings", nullptr},
                  {"rms_norm_eps", nullptr},
                  {"rope_theta", nullptr},
                  {"hidden_act", nullptr},
                  {"tie_word_embeddings", nullptr},
                  {"bos_token_id", nullptr},
                  {"eos_token_id", nullptr},
                  {"hidden_size", 512},
                  {"num_attention_heads", 64}});
  };
  const ModelConfig llama = defaults("llama"), mistral = defaults("mistral"), qwen2 = defaults("qwen2"),
                    qwen3 = defaults("qwen3");
  CHECK(llama.kv_heads == 64);
  CHECK(qwen2.kv_heads == 32);
  CHECK(qwen3.kv_heads == 32);
  CHECK(mistral.kv_heads == 8);
  CHECK(llama.head_size == 8);
  CHECK(mistral.head_size == 8);
  CHECK(qwen2.head_size == 8);
  CHECK(qwen3.head_size == 128);
  CHECK(llama.positions == 2048);
  CHECK(mistral.positions == 131072);
  CHECK(qwen2.positions == 32768);
  CHECK(qwen3.positions == 32768);
  for (const ModelConfig& c : {llama, mistral, qwen2, qwen3}) {
    CHECK(c.norm_epsilon == 1e-6);
    CHECK(c.rope.theta == 10000);
    CHECK(c.eos.empty());
    CHECK(c.bos == -1);
  }
  CHECK(mistral.sliding == std::vector<std::int64_t>{4096, 4096, 4096});
  CHECK(qwen2.sliding == std::vector<std::int64_t>{0, 0, 0});
  CHECK((qwen2.qkv_bias && !qwen2.output_bias && !qwen2.mlp_bias));
  CHECK((qwen3.qk_norm && !qwen3.qkv_bias));
  CHECK(parse({{"model_type", "longllama"}, {"mem_layers", {1}}, {"last_context_length", 32}}).sliding ==
        std::vector<std::int64_t>{0, 0, 0});
}

TEST_CASE("memory layers, of any family, and no part of the base's fingerprint") {
  const ModelConfig none = parse({});
  CHECK(none.memory.layers.empty());
  for (const char* type : {"longllama", "llama", "qwen2"}) {
    const ModelConfig c = parse({{"model_type", type}, {"mem_layers", {2, 0}}, {"mem_positionals", false}, {"mem_dtype", "float16"},
                                 {"mem_attention_grouping", {4, 2048}}, {"gradient_checkpoint_every_ith", 1}});
    CHECK(c.memory.layers == std::vector<std::int64_t>{0, 2});
    CHECK_FALSE(c.memory.has_positions);
    CHECK(c.memory.dtype == DType::kF16);
  }
  const ModelConfig some = parse({{"mem_layers", {1}}});
  CHECK(some.memory.has_positions);
  CHECK(some.memory.dtype == DType::kBf16);
  CHECK(canonical(some) == canonical(none));
  check_error([] { parse({{"mem_layers", {3}}}); }, ErrorKind::kMismatch, {"no such memory layer", "3", "0 to 2"});
  check_error([] { parse({{"mem_layers", {-1}}}); }, ErrorKind::kMismatch, {"no such memory layer", "-1"});
  check_error([] { parse({{"mem_layers", {1, 1}}}); }, ErrorKind::kMismatch, {"named twice"});
  check_error([] { parse({{"mem_layers", {1.5}}}); }, ErrorKind::kData, {"'mem_layers'"});
  check_error([] { parse({{"mem_layers", 1}}); }, ErrorKind::kData, {"'mem_layers'"});
  check_error([] { parse({{"mem_dtype", "int8"}}); }, ErrorKind::kMismatch, {"'mem_dtype'", "int8"});
}

// 40 heads are no multiple of the 32 KV heads that a Qwen has unless told otherwise: better refused than guessed.
TEST_CASE("default KV heads that do not divide the heads") {
  check_error(
      [] {
        parse({{"model_type", "qwen2"}, {"num_key_value_heads", nullptr}, {"num_attention_heads", 40}, {"hidden_size", 320}});
      },
      ErrorKind::kData, {"40 heads", "32 KV heads"});
}

TEST_CASE("biases") {
  const ModelConfig attention = parse({{"attention_bias", true}}), feed = parse({{"mlp_bias", true}});
  CHECK((attention.qkv_bias && attention.output_bias && !attention.mlp_bias));
  CHECK((!feed.qkv_bias && !feed.output_bias && feed.mlp_bias));
  const ModelConfig qwen3 = parse({{"model_type", "qwen3"}, {"attention_bias", true}});
  CHECK((qwen3.qkv_bias && qwen3.output_bias));
  check_error([] { parse({{"model_type", "mistral"}, {"attention_bias", true}}); }, ErrorKind::kMismatch, {"'attention_bias'"});
  check_error([] { parse({{"model_type", "qwen2"}, {"mlp_bias", true}}); }, ErrorKind::kMismatch, {"'mlp_bias'"});
}

TEST_CASE("sliding windows") {
  using Windows = std::vector<std::int64_t>;
  CHECK(parse({{"model_type", "mistral"}, {"sliding_window", 7}}).sliding == Windows{7, 7, 7});
  Json off = tiny_config({{"model_type", "mistral"}});
  off["sliding_window"] = nullptr;
  CHECK(parse_model_config(off, "config.json").sliding == Windows{0, 0, 0});
  const Json qwen = {{"model_type", "qwen2"}, {"sliding_window", 7}};
  const auto with = [&](const Json& more) {
    Json changes = qwen;
    for (const auto& [key, value] : more.items()) changes[key] = value;
    return parse(changes).sliding;
  };
  CHECK(with({}) == Windows{0, 0, 0});
  CHECK(with({{"use_sliding_window", true}}) == Windows{0, 0, 0});  // from layer 28 on unless told otherwise
  CHECK(with({{"use_sliding_window", true}, {"max_window_layers", 1}}) == Windows{0, 7, 7});
  CHECK(with({{"use_sliding_window", true}, {"max_window_layers", 0}}) == Windows{7, 7, 7});
  CHECK(with({{"use_sliding_window", false}, {"max_window_layers", 0}}) == Windows{0, 0, 0});
  const Json types = {"sliding_attention", "full_attention", "sliding_attention"};
  CHECK(with({{"use_sliding_window", true}, {"max_window_layers", 3}, {"layer_types", types}}) == Windows{7, 0, 7});
  check_error([&] { with({{"layer_types", types}}); }, ErrorKind::kData, {"'layer_types'"});
  check_error([&] { with({{"layer_types", {"full_attention"}}}); }, ErrorKind::kData, {"'layer_types'"});
  check_error(
      [&] {
        with({{"layer_types", {"full_attention", "full_attention", "local"}}});
      },
      ErrorKind::kData, {"'layer_types'"});
  check_error([] { parse({{"model_type", "mistral"}, {"sliding_window", 0}}); }, ErrorKind::kData, {"'sliding_window'"});
}

TEST_CASE("missing keys") {
  for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"})
    check_error([&] { parse({{key, nullptr}}); }, ErrorKind::kData, {"'config.json'", "'" + std::string(key) + "'", "missing"});
  check_error([] { parse({{"model_type", nullptr}}); }, ErrorKind::kMismatch, {"'model_type'"});
}

TEST_CASE("wrong types and values, the key named") {
  for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
                          "vocab_size", "head_dim", "max_position_embeddings"})
    for (const Json& value : {Json("8"), Json(8.5), Json(0), Json(-8), Json(true), Json::array(), Json::object(), Json(1e300),
                              Json(std::numeric_limits<std::uint64_t>::max())}) {
      INFO(key << " " << value.dump());
      check_error([&] { parse({{key, value}}); }, ErrorKind::kData, {"'config.json'", "'" + std::string(key) + "'"});
    }
  for (const char* key : {"rms_norm_eps", "rope_theta"})
    for (const Json& value : {Json("1"), Json(0), Json(-1.0), Json(true), Json::array({1})})
      check_error([&] { parse({{key, value}}); }, ErrorKind::kData, {"'" + std::string(key) + "'"});
  for (const char* key : {"tie_word_embeddings", "attention_bias", "mlp_bias"})
    for (const Json& value : {Json(1), Json("true"), Json::array()})
      check_error([&] { parse({{key, value}}); }, ErrorKind::kData, {"'" + std::string(key) + "'"});
  check_error([] { parse({{"hidden_act", 1}}); }, ErrorKind::kData, {"'hidden_act'"});
  check_error([] { parse({{"model_type", 1}}); }, ErrorKind::kData, {"'model_type'"});
  for (const Json& value : {Json("2"), Json(2.5), Json::array({2, "3"})})
    check_error([&] { parse({{"eos_token_id", value}}); }, ErrorKind::kData, {"'eos_token_id'"});
  for (const Json& json : {Json::array(), Json("text"), Json(1), Json()})
    check_error([&] { parse_model_config(json, "config.json"); }, ErrorKind::kData, {"'config.json'", "not a JSON object"});
}

TEST_CASE("sizes that do not fit each other") {
  check_error([] { parse({{"num_key_value_heads", 3}}); }, ErrorKind::kData, {"4 heads", "3 KV heads"});
  check_error([] { parse({{"num_key_value_heads", 8}}); }, ErrorKind::kData, {"'num_key_value_heads'", "8"});
  check_error([] { parse({{"head_dim", nullptr}, {"hidden_size", 26}}); }, ErrorKind::kData, {"hidden_size 26", "4 heads"});
  check_error([] { parse({{"head_dim", 9}}); }, ErrorKind::kMismatch, {"head size 9"});
}

TEST_CASE("what changes the computation and is not understood is refused by name") {
  for (const char* key : {"attn_logit_softcapping", "query_pre_attn_scalar", "logit_scale", "num_experts",
                          "residual_multiplier", "clip_qkv", "a_key_of_next_year"})
    check_error(
        [&] {
          parse({{key, 30}});
        },
        ErrorKind::kMismatch, {"'config.json'", "'" + std::string(key) + "'", "not understood"});
  check_error([] { parse({{"model_type", "gemma2"}}); }, ErrorKind::kMismatch, {"'gemma2'"});
  check_error([] { parse({{"hidden_act", "gelu"}}); }, ErrorKind::kMismatch, {"'gelu'"});
  check_error([] { parse({{"partial_rotary_factor", 0.5}}); }, ErrorKind::kMismatch, {"'partial_rotary_factor'"});
  CHECK_NOTHROW(parse({{"partial_rotary_factor", 1.0}}));
  // An unknown key that is null says nothing; bookkeeping is let through.
  Json config = tiny_config();
  config["a_key_of_next_year"] = nullptr;
  CHECK_NOTHROW(parse_model_config(config, "config.json"));
  CHECK_NOTHROW(parse({{"architectures", {"LlamaForCausalLM"}},
                       {"transformers_version", "4.57.6"},
                       {"use_cache", true},
                       {"pretraining_tp", 1}}));
}

TEST_CASE("rope scaling") {
  const auto scaled = [](const Json& scaling) { return parse({{"rope_scaling", scaling}}); };
  CHECK(scaled({{"type", "linear"}, {"factor", 2}}).rope.kind == RopeKind::kLinear);
  CHECK(scaled({{"rope_type", "linear"}, {"factor", 2.5}}).rope.factor == 2.5);
  CHECK(scaled({{"rope_type", "default"}}).rope.kind == RopeKind::kDefault);
  CHECK(scaled({{"rope_type", "dynamic"}, {"factor", 2}}).capacity() == 192);
  CHECK(scaled({{"rope_type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 48}}).capacity() == 192);
  CHECK(scaled({{"rope_type", "yarn"}, {"factor", 1.5}, {"original_max_position_embeddings", 48}}).capacity() == 96);
  CHECK(scaled({{"rope_type", "linear"}, {"factor", 2}}).capacity() == 96);
  const Json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8},
                       {"low_freq_factor", 1},
                       {"high_freq_factor", 4},
                       {"original_max_position_embeddings", 48}};
  CHECK(scaled(llama3).rope.original_positions == 48);

  check_error([&] { scaled("linear"); }, ErrorKind::kData, {"'rope_scaling'"});
  check_error(
      [&] {
        scaled({{"rope_type", "longrope"}, {"factor", 2}});
      },
      ErrorKind::kMismatch, {"'rope_scaling'", "'longrope'"});
  check_error([&] { scaled({{"rope_type", 1}}); }, ErrorKind::kData, {"'rope_type'"});
  for (const char* type : {"linear", "dynamic", "yarn", "llama3"}) {
    check_error([&] { scaled({{"rope_type", type}}); }, ErrorKind::kData, {"'factor'", "missing"});
    check_error([&] { scaled({{"rope_type", type}, {"factor", 0.5}}); }, ErrorKind::kData, {"'factor'"});
    check_error([&] { scaled({{"rope_type", type}, {"factor", "2"}}); }, ErrorKind::kData, {"'factor'"});
  }
  for (const char* key : {"low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}) {
    Json without = llama3;
    without.erase(key);
    check_error([&] { scaled(without); }, ErrorKind::kData, {"'" + std::string(key) + "'", "missing"});
  }
  Json swapped = llama3;
  swapped["high_freq_factor"] = 1;
  check_error([&] { scaled(swapped); }, ErrorKind::kData, {"'high_freq_factor'"});
  // Unknown keys of a scaling change it.
  check_error(
      [&] {
        scaled({{"rope_type", "linear"}, {"factor", 2}, {"beta_fast", 32}});
      },
      ErrorKind::kMismatch, {"'beta_fast'"});
  check_error([&] { scaled({{"rope_type", "default"}, {"mystery", 1}}); }, ErrorKind::kMismatch, {"'mystery'"});
  for (const char* key : {"attention_factor", "beta_fast", "beta_slow", "original_max_position_embeddings"})
    check_error(
        [&] {
          scaled({{"rope_type", "yarn"}, {"factor", 2}, {key, -1}});
        },
        ErrorKind::kData, {"'" + std::string(key) + "'"});
  check_error([&] { scaled({{"rope_type", "yarn"}, {"factor", 2}, {"truncate", 1}}); }, ErrorKind::kData, {"'truncate'"});
}

TEST_CASE("the new name of rope scaling") {
  const ModelConfig c =
      parse({{"rope_theta", nullptr}, {"rope_parameters", {{"rope_type", "linear"}, {"factor", 2}, {"rope_theta", 5000.0}}}});
  CHECK(c.rope.kind == RopeKind::kLinear);
  CHECK(c.rope.theta == 5000);
  const Json both = {{"rope_type", "linear"}, {"factor", 2}};
  CHECK(parse({{"rope_scaling", both}, {"rope_parameters", both}}).rope.factor == 2);
  check_error(
      [&] {
        parse({{"rope_scaling", both}, {"rope_parameters", {{"rope_type", "linear"}, {"factor", 3}}}});
      },
      ErrorKind::kMismatch, {"'rope_scaling'", "'rope_parameters'"});
}

TEST_CASE("the canonical text tells computations apart, not spellings") {
  const std::string base = canonical(parse({}));
  const std::vector<Json> others = {{{"vocab_size", 51}},
                                    {{"rope_theta", 10001.0}},
                                    {{"rms_norm_eps", 1e-6}},
                                    {{"attention_bias", true}},
                                    {{"mlp_bias", true}},
                                    {{"num_key_value_heads", 4}},
                                    {{"head_dim", 12}},
                                    {{"max_position_embeddings", 97}},
                                    {{"tie_word_embeddings", true}},
                                    {{"intermediate_size", 33}},
                                    {{"model_type", "mistral"}},
                                    {{"model_type", "qwen3"}},
                                    {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 2}}}},
                                    {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2}}}},
                                    {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2}, {"truncate", false}}}},
                                    {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2}, {"mscale", 1}}}}};
  std::set<std::string> texts = {base};
  for (const Json& changes : others) {
    INFO(changes.dump());
    CHECK(texts.insert(canonical(parse(changes))).second);
  }
  CHECK(canonical(parse({{"architectures", {"LlamaForCausalLM"}}, {"torch_dtype", "bfloat16"}, {"initializer_range", 0.1}})) ==
        base);
  CHECK(canonical(parse({{"rope_scaling", {{"rope_type", "default"}}}})) == base);
  CHECK(canonical(parse({{"eos_token_id", {2, 3}}})) == base);
}

TEST_CASE("a directory without a configuration") {
  const test::Scratch scratch;
  check_error([&] { read_model_config(scratch.path(".")); }, ErrorKind::kIo, {"config.json"});
  scratch.write("config.json", "{");
  check_error([&] { read_model_config(scratch.path(".")); }, ErrorKind::kData, {"config.json"});
}

TEST_CASE("further ends of a turn stand in generation_config.json") {
  const test::Scratch scratch;
  scratch.write("config.json", tiny_config().dump());
  scratch.write("generation_config.json", R"({"eos_token_id": [7, 2], "temperature": 0.6})");
  CHECK(read_model_config(scratch.path(".")).eos == std::vector<std::int32_t>{2, 7});
  scratch.write("generation_config.json", R"({"eos_token_id": "7"})");
  check_error([&] { read_model_config(scratch.path(".")); }, ErrorKind::kData, {"generation_config.json", "'eos_token_id'"});
}

}  // namespace
}  // namespace uio
