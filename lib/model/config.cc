#include "model/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <set>
#include <string_view>

#include "base/error.h"
#include "io/path.h"

namespace uio {
namespace {

// Keys that do not change what inference computes: bookkeeping, training, generation defaults, tensor layout of outputs.
constexpr std::string_view kIgnored[] = {
    "_attn_implementation_autoset", "_commit_hash", "_name_or_path", "add_cross_attention", "architectures",
    "attention_dropout", "auto_map", "bad_words_ids", "begin_suppress_tokens", "chunk_size_feed_forward",
    "cross_attention_hidden_size", "decoder_start_token_id", "diversity_penalty", "do_sample", "dtype", "early_stopping",
    "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "finetuning_task", "forced_bos_token_id",
    "forced_eos_token_id", "gradient_checkpointing", "gradient_checkpointing_use_reentrant", "hidden_dropout_prob",
    "id2label", "is_decoder", "is_encoder_decoder", "is_llama_config", "label2id", "length_penalty",
    "max_length", "max_sequence_length", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams",
    "num_return_sequences", "output_attentions", "output_hidden_states", "output_scores", "pad_token_id", "prefix",
    "pretraining_tp", "problem_type", "pruned_heads", "remove_invalid_values", "repetition_penalty",
    "residual_dropout", "return_dict", "return_dict_in_generate", "sep_token_id", "suppress_tokens",
    "task_specific_params", "temperature", "tie_encoder_decoder", "tf_legacy_loss", "tokenizer_class", "top_k", "top_p",
    "torch_dtype", "torchscript", "transformers.js_config", "transformers_version", "typical_p", "unsloth_fixed",
    "unsloth_version", "use_bfloat16", "use_cache",
    // LongLLaMA: how much attention is computed at once, and with which implementation; the length of a tail (io/memory_window.h).
    "gradient_checkpoint_every_ith", "last_context_length", "mem_attention_grouping", "torch_attention"};

class Reader {
 public:
  Reader(const Json& json, std::string subject) : json_(json), subject_(std::move(subject)) {
    if (!json.is_object()) throw Error(ErrorKind::kData, "bad configuration", subject_, "not a JSON object");
  }

  bool has(const char* key) {
    seen_.insert(key);
    return json_.contains(key) && !json_.at(key).is_null();
  }
  bool is_null(const char* key) {  // present, and null: unlike an absent key it switches a default off
    seen_.insert(key);
    return json_.contains(key) && json_.at(key).is_null();
  }
  std::int64_t integer(const char* key, std::int64_t low, std::int64_t high) {
    if (!has(key)) throw Error(ErrorKind::kData, "bad configuration", subject_, std::string("key '") + key + "' is missing");
    return integer(key, low, high, 0);
  }
  std::int64_t integer(const char* key, std::int64_t low, std::int64_t high, std::int64_t fallback) {
    if (!has(key)) return fallback;
    const Json& value = json_.at(key);
    if (!value.is_number_integer()) wrong(key, "an integer");
    const auto number = value.is_number_unsigned() && value.get<std::uint64_t>() > 1ull << 62 ? std::numeric_limits<std::int64_t>::max()
                                                                                              : value.get<std::int64_t>();
    if (number < low || number > high)
      throw Error(ErrorKind::kData, "bad configuration", subject_,
                  std::string("key '") + key + "' is " + value.dump() + ", expected " + std::to_string(low) + " to " + std::to_string(high));
    return number;
  }
  double number(const char* key, double fallback) {
    if (!has(key)) return fallback;
    const Json& value = json_.at(key);
    if (!value.is_number()) wrong(key, "a number");
    return value.get<double>();
  }
  double positive(const char* key, double fallback) {
    const double value = number(key, fallback);
    if (!(value > 0) || !std::isfinite(value)) wrong(key, "a positive number");
    return value;
  }
  bool boolean(const char* key, bool fallback) {
    if (!has(key)) return fallback;
    const Json& value = json_.at(key);
    if (!value.is_boolean()) wrong(key, "true or false");
    return value.get<bool>();
  }
  std::string text(const char* key, const std::string& fallback) {
    if (!has(key)) return fallback;
    const Json& value = json_.at(key);
    if (!value.is_string()) wrong(key, "a string");
    return value.get<std::string>();
  }
  const Json& at(const char* key) { return json_.at(key); }
  [[noreturn]] void wrong(const char* key, const char* expected) {
    throw Error(ErrorKind::kData, "bad configuration", subject_,
                std::string("key '") + key + "' is " + json_.at(key).dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 80) +
                    ", expected " + expected);
  }
  [[noreturn]] void unsupported(const std::string& what) {
    throw Error(ErrorKind::kMismatch, "unsupported model", subject_, what);
  }
  // Everything that nobody asked for and that is not known to be harmless stops the load.
  void refuse_unknown(const std::set<std::string_view>& ignored) {
    for (const auto& [key, value] : json_.items())
      if (!value.is_null() && !seen_.contains(key) && !ignored.contains(key)) unsupported("key '" + key + "' is not understood");
  }

 private:
  const Json& json_;
  std::string subject_;
  std::set<std::string> seen_;
};

// eos_token_id: one id or a list.
std::vector<std::int32_t> token_ids(const Json& value, const std::string& subject) {
  std::vector<std::int32_t> ids;
  for (const Json& id : value.is_array() ? value : Json::array({value})) {
    if (!id.is_number_integer() || id.get<double>() < -1 || id.get<double>() > (1 << 24))
      throw Error(ErrorKind::kData, "bad configuration", subject, "key 'eos_token_id' is " + value.dump().substr(0, 80) + ", expected a token id or a list of them");
    ids.push_back(id.get<std::int32_t>());
  }
  return ids;
}

RopeConfig parse_rope(Reader& config, const std::string& subject, double positions) {
  RopeConfig rope;
  rope.theta = config.positive("rope_theta", 10000);
  const bool old_name = config.has("rope_scaling"), new_name = config.has("rope_parameters");
  if (!old_name && !new_name) return rope;
  // transformers v5 writes rope_parameters, with rope_theta inside; where both stand they must say the same.
  if (old_name && new_name && config.at("rope_scaling") != config.at("rope_parameters"))
    config.unsupported("'rope_scaling' and 'rope_parameters' differ");
  const char* name = new_name ? "rope_parameters" : "rope_scaling";
  if (!config.at(name).is_object()) config.wrong(name, "an object");
  Reader scaling(config.at(name), subject + "': '" + name);
  rope.theta = scaling.positive("rope_theta", rope.theta);
  if (scaling.number("partial_rotary_factor", 1) != 1) config.unsupported("'partial_rotary_factor' other than 1");
  const std::string old_type = scaling.text("type", ""), type = scaling.text("rope_type", old_type.empty() ? "default" : old_type);
  if (type == "default") {
    rope.kind = RopeKind::kDefault;
  } else if (type == "linear" || type == "dynamic" || type == "yarn" || type == "llama3") {
    if (!scaling.has("factor"))
      throw Error(ErrorKind::kData, "bad configuration", subject, std::string("key 'factor' of '") + name + "' is missing");
    rope.factor = scaling.positive("factor", 1);
    if (rope.factor < 1) scaling.wrong("factor", "a number ≥ 1");
    rope.original_positions = positions;
    if (type == "linear") rope.kind = RopeKind::kLinear;
    if (type == "dynamic") {
      rope.kind = RopeKind::kDynamic;
      // transformers takes the pretrained length from max_position_embeddings whatever this key says.
      scaling.has("original_max_position_embeddings");
    }
    if (type == "llama3") {
      rope.kind = RopeKind::kLlama3;
      for (const char* key : {"low_freq_factor", "high_freq_factor", "original_max_position_embeddings"})
        if (!scaling.has(key))
          throw Error(ErrorKind::kData, "bad configuration", subject, std::string("key '") + key + "' of '" + name + "' is missing");
      rope.low_freq_factor = scaling.positive("low_freq_factor", 1);
      rope.high_freq_factor = scaling.positive("high_freq_factor", 4);
      if (rope.high_freq_factor <= rope.low_freq_factor) scaling.wrong("high_freq_factor", "more than low_freq_factor");
      rope.original_positions = scaling.positive("original_max_position_embeddings", positions);
    }
    if (type == "yarn") {
      rope.kind = RopeKind::kYarn;
      rope.original_positions = scaling.positive("original_max_position_embeddings", positions);
      if (scaling.has("attention_factor")) rope.attention_factor = scaling.positive("attention_factor", 1);
      if (scaling.has("mscale")) rope.mscale = scaling.number("mscale", 0);
      if (scaling.has("mscale_all_dim")) rope.mscale_all_dim = scaling.number("mscale_all_dim", 0);
      rope.beta_fast = scaling.positive("beta_fast", 32);
      rope.beta_slow = scaling.positive("beta_slow", 1);
      rope.truncate = scaling.boolean("truncate", true);
      if (scaling.boolean("finetuned", false)) {}  // says how the weights came about, not what to compute
    }
  } else {
    config.unsupported(std::string("'") + name + "' of type '" + type + "' is not understood");
  }
  scaling.refuse_unknown({});
  return rope;
}

// Which layers attend to a window only (transformers: layer_types where given, else sliding_window and the layers it is for).
void parse_sliding(Reader& config, ModelConfig& out) {
  const bool is_qwen = out.model_type == "qwen2" || out.model_type == "qwen3";
  std::int64_t window = 0;
  out.sliding.assign(static_cast<std::size_t>(out.layers), 0);
  // MistralConfig slides over 4096 keys unless told otherwise; the Qwens only when use_sliding_window says so.
  if (out.model_type == "mistral") {
    if (!config.is_null("sliding_window")) window = config.integer("sliding_window", 1, std::numeric_limits<std::int32_t>::max(), 4096);
  } else if (is_qwen) {
    const bool use = config.boolean("use_sliding_window", false);
    if (!config.is_null("sliding_window") && use)
      window = config.integer("sliding_window", 1, std::numeric_limits<std::int32_t>::max(), 4096);
  }
  const std::int64_t first = is_qwen ? config.integer("max_window_layers", 0, 1 << 20, 28) : 0;
  if (config.has("layer_types")) {
    const Json& types = config.at("layer_types");
    if (!types.is_array() || types.size() != static_cast<std::size_t>(out.layers)) config.wrong("layer_types", "one name per layer");
    for (std::size_t layer = 0; layer < types.size(); ++layer) {
      if (types[layer] == "sliding_attention") {
        if (window == 0) config.wrong("layer_types", "no sliding_attention without a sliding window");
        out.sliding[layer] = window;
      } else if (types[layer] != "full_attention") {
        config.wrong("layer_types", "full_attention or sliding_attention");
      }
    }
    return;
  }
  for (std::int64_t layer = first; layer < out.layers; ++layer) out.sliding[static_cast<std::size_t>(layer)] = window;
}

// Defaults of LongLlamaConfig.
MemoryLayers parse_memory(Reader& config, const std::string& subject, std::int64_t layers) {
  MemoryLayers memory;
  if (config.has("mem_layers")) {
    const Json& list = config.at("mem_layers");
    if (!list.is_array()) config.wrong("mem_layers", "a list of layers");
    for (const Json& layer : list) {
      if (!layer.is_number_integer()) config.wrong("mem_layers", "a list of layers");
      memory.layers.push_back(layer.is_number_unsigned() && layer.get<std::uint64_t>() > 1ull << 32 ? -1 : layer.get<std::int64_t>());
    }
    memory.layers = checked_memory_layers(std::move(memory.layers), layers, subject);
  }
  memory.has_positions = config.boolean("mem_positionals", true);
  const std::string dtype = config.text("mem_dtype", "bfloat16");
  if (dtype == "bfloat16") memory.dtype = DType::kBf16;
  else if (dtype == "float16") memory.dtype = DType::kF16;
  else if (dtype == "float32") memory.dtype = DType::kF32;
  else if (dtype == "float64") memory.dtype = DType::kF64;
  else config.unsupported("'mem_dtype' is '" + dtype + "', expected bfloat16, float16, float32 or float64");
  return memory;
}

}  // namespace

std::vector<std::int64_t> checked_memory_layers(std::vector<std::int64_t> layers, std::int64_t count, const std::string& subject) {
  std::ranges::sort(layers);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i] < 0 || layers[i] >= count)
      throw Error(ErrorKind::kMismatch, "no such memory layer", subject, std::to_string(layers[i]) + ", the model has layers 0 to " + std::to_string(count - 1));
    if (i > 0 && layers[i] == layers[i - 1])
      throw Error(ErrorKind::kMismatch, "memory layer named twice", subject, std::to_string(layers[i]));
  }
  return layers;
}

std::int64_t ModelConfig::parameters() const {
  const std::int64_t q = heads * head_size, kv = kv_heads * head_size;
  const std::int64_t biases = (qkv_bias ? q + 2 * kv : 0) + (output_bias ? hidden_size : 0) + (mlp_bias ? 2 * intermediate_size + hidden_size : 0);
  const std::int64_t norms = 2 * hidden_size + (qk_norm ? 2 * head_size : 0);
  const std::int64_t layer = 2 * q * hidden_size + 2 * kv * hidden_size + 3 * hidden_size * intermediate_size + biases + norms;
  return (tied_embeddings ? 1 : 2) * vocabulary * hidden_size + hidden_size + layers * layer;
}

std::int64_t ModelConfig::capacity() const {
  const double positions_wide = static_cast<double>(positions);
  switch (rope.kind) {
    case RopeKind::kDynamic: return static_cast<std::int64_t>(positions_wide * rope.factor);
    case RopeKind::kYarn: return static_cast<std::int64_t>(std::max(positions_wide, rope.original_positions * rope.factor));
    default: return positions;
  }
}

ModelConfig parse_model_config(const Json& json, const std::string& subject) {
  Reader config(json, subject);
  ModelConfig out;
  out.model_type = config.text("model_type", "");
  static const std::set<std::string> kFamilies = {"llama", "mistral", "qwen2", "qwen3", "longllama"};
  if (!kFamilies.contains(out.model_type))
    config.unsupported(out.model_type.empty() ? "no 'model_type'" : "model_type '" + out.model_type + "' is not understood");
  const bool is_qwen3 = out.model_type == "qwen3", is_qwen2 = out.model_type == "qwen2";

  constexpr std::int64_t kMost = 1 << 24;
  out.hidden_size = config.integer("hidden_size", 1, kMost);
  out.intermediate_size = config.integer("intermediate_size", 1, kMost);
  out.layers = config.integer("num_hidden_layers", 1, 1 << 14);
  out.heads = config.integer("num_attention_heads", 1, 1 << 14);
  out.vocabulary = config.integer("vocab_size", 1, kMost);
  // Defaults of the families' configuration classes in transformers 4.57.
  const bool is_llama = out.model_type == "llama" || out.model_type == "longllama";
  out.kv_heads = config.integer("num_key_value_heads", 1, out.heads, is_llama ? out.heads : std::min<std::int64_t>(out.model_type == "mistral" ? 8 : 32, out.heads));
  if (out.heads % out.kv_heads != 0)
    throw Error(ErrorKind::kData, "bad configuration", subject,
                std::to_string(out.heads) + " heads are not a multiple of " + std::to_string(out.kv_heads) + " KV heads");
  out.head_size = config.integer("head_dim", 1, 1 << 16, is_qwen3 ? 128 : out.hidden_size / out.heads);
  if (!config.has("head_dim") && !is_qwen3 && out.hidden_size % out.heads != 0)
    throw Error(ErrorKind::kData, "bad configuration", subject,
                "hidden_size " + std::to_string(out.hidden_size) + " is not a multiple of " + std::to_string(out.heads) + " heads");
  if (out.head_size % 2 != 0) config.unsupported("head size " + std::to_string(out.head_size) + " is odd");
  out.positions = config.integer("max_position_embeddings", 1, 1ll << 40,
                                 is_llama ? 2048 : out.model_type == "mistral" ? 131072 : 32768);
  out.norm_epsilon = config.positive("rms_norm_eps", 1e-6);
  out.initializer_range = config.positive("initializer_range", 0.02);
  out.tied_embeddings = config.boolean("tie_word_embeddings", false);
  const std::string activation = config.text("hidden_act", "silu");
  if (activation != "silu") config.unsupported("hidden_act '" + activation + "' is not understood");

  const bool attention_bias = config.boolean("attention_bias", false);
  if (attention_bias && out.model_type == "mistral") config.unsupported("'attention_bias' of a mistral model is not understood");
  out.qkv_bias = is_qwen2 || attention_bias;
  out.output_bias = !is_qwen2 && attention_bias;
  out.mlp_bias = config.boolean("mlp_bias", false);
  if (out.mlp_bias && !is_llama) config.unsupported("'mlp_bias' of a " + out.model_type + " model is not understood");
  out.qk_norm = is_qwen3;
  if (config.number("partial_rotary_factor", 1) != 1) config.unsupported("'partial_rotary_factor' other than 1");
  for (const char* key : {"rope_interleaved", "is_causal_mask_free"})
    if (config.boolean(key, false)) config.unsupported(std::string("'") + key + "' is not understood");

  out.rope = parse_rope(config, subject, static_cast<double>(out.positions));
  parse_sliding(config, out);
  out.memory = parse_memory(config, subject, out.layers);

  out.bos = static_cast<std::int32_t>(config.integer("bos_token_id", -1, kMost, -1));
  if (config.has("eos_token_id")) out.eos = token_ids(config.at("eos_token_id"), subject);
  config.refuse_unknown(std::set<std::string_view>(std::begin(kIgnored), std::end(kIgnored)));
  return out;
}

ModelConfig read_model_config(const std::string& directory) {
  const std::string path = directory + "/config.json", generation = directory + "/generation_config.json";
  ModelConfig config = parse_model_config(read_json(path), path);
  // Chat models name further ids that end a turn only here; of the rest of this file nothing concerns us.
  if (path_exists(generation)) {
    const Json json = read_json(generation);
    if (json.is_object() && json.contains("eos_token_id") && !json.at("eos_token_id").is_null()) {
      for (const std::int32_t id : token_ids(json.at("eos_token_id"), generation))
        if (std::find(config.eos.begin(), config.eos.end(), id) == config.eos.end()) config.eos.push_back(id);
    }
  }
  return config;
}

std::string canonical(const ModelConfig& c) {
  std::string text;
  const auto add = [&](const char* name, double value) {
    char line[96];
    std::snprintf(line, sizeof line, "%s=%.17g\n", name, value);
    text += line;
  };
  add("hidden_size", static_cast<double>(c.hidden_size));
  add("intermediate_size", static_cast<double>(c.intermediate_size));
  add("layers", static_cast<double>(c.layers));
  add("heads", static_cast<double>(c.heads));
  add("kv_heads", static_cast<double>(c.kv_heads));
  add("head_size", static_cast<double>(c.head_size));
  add("vocabulary", static_cast<double>(c.vocabulary));
  add("positions", static_cast<double>(c.positions));
  add("norm_epsilon", c.norm_epsilon);
  add("tied_embeddings", c.tied_embeddings);
  add("qkv_bias", c.qkv_bias);
  add("output_bias", c.output_bias);
  add("mlp_bias", c.mlp_bias);
  add("qk_norm", c.qk_norm);
  for (const std::int64_t window : c.sliding) add("sliding", static_cast<double>(window));
  add("rope", static_cast<double>(c.rope.kind));
  add("theta", c.rope.theta);
  add("factor", c.rope.factor);
  add("original_positions", c.rope.original_positions);
  add("low_freq_factor", c.rope.low_freq_factor);
  add("high_freq_factor", c.rope.high_freq_factor);
  add("beta_fast", c.rope.beta_fast);
  add("beta_slow", c.rope.beta_slow);
  add("attention_factor", c.rope.attention_factor);
  add("mscale", c.rope.mscale);
  add("mscale_all_dim", c.rope.mscale_all_dim);
  add("truncate", c.rope.truncate);
  return text;
}

}  // namespace uio
