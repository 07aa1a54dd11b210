// Tiny random models and adapters in folders of their own, for the tests of lib/model, lib/memory and lib/score.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/model.h"
#include "unit/io/scratch.h"
#include "unit/kernels/force_reference.h"

namespace uio::test {

// Work this small is slower on several threads, and much slower where other tests run beside it.
inline const bool kIsOnOneThread = (at::set_num_threads(1), true);

using Tensors = std::map<std::string, at::Tensor>;

// The Error that `action` throws; fails the test if it throws none.
inline Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error");
  throw std::logic_error("unreachable");
}

// Kind and message at once. Every one of `parts` is in the message.
inline void check_error(const std::function<void()>& action, ErrorKind kind, const std::vector<std::string>& parts) {
  const Error error = error_of(action);
  INFO(error.what());
  CHECK(static_cast<int>(error.kind()) == static_cast<int>(kind));
  for (const std::string& part : parts) CHECK_THAT(std::string(error.what()), Catch::Matchers::Contains(part));
}

inline void write_tensors(const std::string& path, const Tensors& tensors) {
  const auto name_of_type = [](at::ScalarType type) {
    switch (type) {
      case at::kFloat:
        return "F32";
      case at::kBFloat16:
        return "BF16";
      case at::kHalf:
        return "F16";
      case at::kDouble:
        return "F64";
      case at::kInt:
        return "I32";
      default:
        throw std::logic_error("no name for this dtype");
    }
  };
  const auto sink = open_sink(path);
  std::vector<SafetensorsWriter::Entry> entries;
  for (const auto& [name, tensor] : tensors)
    entries.push_back(
        {name, name_of_type(tensor.scalar_type()), tensor.sizes().vec(), static_cast<std::uint64_t>(tensor.nbytes())});
  SafetensorsWriter writer(*sink, entries);
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor whole = tensor.contiguous();
    writer.write(std::span(static_cast<const std::byte*>(whole.const_data_ptr()), whole.nbytes()));
  }
  writer.finish();
  sink->commit();
}

inline Json tiny_config() {
  return Json{{"model_type", "llama"},        {"vocab_size", 50},       {"hidden_size", 24},
              {"intermediate_size", 32},      {"num_hidden_layers", 3}, {"num_attention_heads", 4},
              {"num_key_value_heads", 2},     {"head_dim", 10},         {"max_position_embeddings", 96},
              {"rms_norm_eps", 1e-5},         {"rope_theta", 10000.0},  {"hidden_act", "silu"},
              {"tie_word_embeddings", false}, {"bos_token_id", 1},      {"eos_token_id", 2}};
}
// A configuration with some keys set otherwise; null removes one.
inline Json with_changes(Json config, const Json& changes) {
  for (const auto& [key, value] : changes.items()) {
    if (value.is_null())
      config.erase(key);
    else
      config[key] = value;
  }
  return config;
}
inline Json tiny_config(const Json& changes) { return with_changes(tiny_config(), changes); }

// Every tensor that the configuration asks for, from the seed: matrices that keep the size of rows, biases and norms that
// matter.
inline Tensors tiny_weights(const Json& json, std::uint64_t seed = 1, at::ScalarType dtype = at::kFloat) {
  const ModelConfig c = parse_model_config(json, "tiny");
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  Tensors tensors;
  const auto normal = [&](at::IntArrayRef sizes) {
    return at::randn(sizes, generator, at::TensorOptions().dtype(at::kDouble));
  };
  const auto matrix = [&](const std::string& name, std::int64_t out, std::int64_t in, double scale) {
    tensors[name] = (scale / std::sqrt(static_cast<double>(in)) * normal({out, in})).to(dtype);
  };
  const auto norm = [&](const std::string& name, std::int64_t size) { tensors[name] = (1 + 0.3 * normal({size})).to(dtype); };
  matrix("model.embed_tokens.weight", c.vocabulary, c.hidden_size, 2);
  norm("model.norm.weight", c.hidden_size);
  if (!c.tied_embeddings) matrix("lm_head.weight", c.vocabulary, c.hidden_size, 2);
  const std::int64_t q = c.heads * c.head_size, kv = c.kv_heads * c.head_size;
  for (std::int64_t l = 0; l < c.layers; ++l) {
    const std::string prefix = "model.layers." + std::to_string(l) + ".";
    norm(prefix + "input_layernorm.weight", c.hidden_size);
    norm(prefix + "post_attention_layernorm.weight", c.hidden_size);
    const auto linear = [&](const std::string& name, std::int64_t out, std::int64_t in, bool has_bias, double scale) {
      matrix(prefix + name + ".weight", out, in, scale);
      if (has_bias) tensors[prefix + name + ".bias"] = (0.3 * normal({out})).to(dtype);
    };
    linear("self_attn.q_proj", q, c.hidden_size, c.qkv_bias, 1.7);
    linear("self_attn.k_proj", kv, c.hidden_size, c.qkv_bias, 1.7);
    linear("self_attn.v_proj", kv, c.hidden_size, c.qkv_bias, 1.3);
    linear("self_attn.o_proj", c.hidden_size, q, c.output_bias, 1.3);
    linear("mlp.gate_proj", c.intermediate_size, c.hidden_size, c.mlp_bias, 1);
    linear("mlp.up_proj", c.intermediate_size, c.hidden_size, c.mlp_bias, 1);
    linear("mlp.down_proj", c.hidden_size, c.intermediate_size, c.mlp_bias, 1);
    if (c.qk_norm) {
      norm(prefix + "self_attn.q_norm.weight", c.head_size);
      norm(prefix + "self_attn.k_norm.weight", c.head_size);
    }
  }
  return tensors;
}

// A model directory of the scratch folder.
class TinyModel {
 public:
  explicit TinyModel(const Json& changes = Json::object(), std::uint64_t seed = 1, at::ScalarType dtype = at::kFloat)
      : config(tiny_config(changes)), weights(tiny_weights(config, seed, dtype)) {
    write();
  }
  void write() const {
    scratch.write("config.json", config.dump());
    write_tensors(scratch.path("model.safetensors"), weights);
  }
  std::string directory() const { return scratch.path("."); }
  Model load(at::ScalarType stored = at::kFloat, const std::string& cache = "") const { return load(stored, stored, cache); }
  Model load(at::ScalarType stored, at::ScalarType computed, const std::string& cache = "") const {
    return Model(directory(), {at::kCPU, stored, computed}, cache, 1);
  }

  Scratch scratch;
  Json config;
  Tensors weights;
};

inline Json tiny_adapter_config(const Json& changes = Json::object()) {
  Json config = {{"format", "uio-adapter"},
                 {"version", 1},
                 {"method", "uio"},
                 {"segment_length", 12},
                 {"memory_length", 3},
                 {"lora_rank", 2},
                 {"lora_alpha", 5},
                 {"memory_mask", "staged"},
                 {"memory_positions", "staged"},
                 {"encoder_targets", {"q_proj", "v_proj"}},
                 {"transfer_targets", {"k_proj", "v_proj"}}};
  return with_changes(std::move(config), changes);
}

// An adapter's tensors for a model; `shared`: one memory row for all slots.
inline Tensors tiny_adapter_weights(const Json& adapter, const ModelConfig& c, std::uint64_t seed, bool is_shared) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const auto normal = [&](at::IntArrayRef sizes) {
    return at::randn(sizes, generator, at::TensorOptions().dtype(at::kDouble)).to(at::kFloat);
  };
  Tensors tensors;
  tensors["memory_tokens"] = 0.7 * normal({is_shared ? 1 : adapter.at("memory_length").get<std::int64_t>(), c.hidden_size});
  const auto rank = adapter.at("lora_rank").get<std::int64_t>();
  if (rank == 0) return tensors;
  const std::map<std::string, std::pair<std::int64_t, std::int64_t>> sizes = {
      {"q_proj", {c.hidden_size, c.heads * c.head_size}},    {"k_proj", {c.hidden_size, c.kv_heads * c.head_size}},
      {"v_proj", {c.hidden_size, c.kv_heads * c.head_size}}, {"o_proj", {c.heads * c.head_size, c.hidden_size}},
      {"gate_proj", {c.hidden_size, c.intermediate_size}},   {"up_proj", {c.hidden_size, c.intermediate_size}},
      {"down_proj", {c.intermediate_size, c.hidden_size}}};
  for (const auto& [part, key] :
       {std::pair<std::string, const char*>{"encoder", "encoder_targets"}, {"transfer", "transfer_targets"}})
    for (std::int64_t l = 0; l < c.layers; ++l)
      for (const Json& target : adapter.at(key)) {
        const auto name = target.get<std::string>();
        const bool is_feed = name == "gate_proj" || name == "up_proj" || name == "down_proj";
        const auto [in, out] = sizes.at(name);
        const std::string prefix = part + ".layers." + std::to_string(l) + (is_feed ? ".mlp." : ".self_attn.") + name;
        tensors[prefix + ".lora_A.weight"] = normal({rank, in}) / std::sqrt(static_cast<double>(in));
        tensors[prefix + ".lora_B.weight"] = 0.4 * normal({out, rank});
      }
  return tensors;
}

// Writes an adapter directory into `scratch` and returns its path.
inline std::string write_adapter(const Scratch& scratch, const Json& config, const Tensors& tensors) {
  const std::string directory = scratch.path("adapter");
  std::filesystem::create_directories(directory);
  scratch.write("adapter/adapter_config.json", config.dump());
  write_tensors(directory + "/adapter_model.safetensors", tensors);
  return directory;
}

inline std::vector<std::int32_t> random_ids(std::int64_t count, std::uint64_t seed, std::int64_t vocabulary = 50) {
  std::vector<std::int32_t> ids;
  std::uint64_t state = seed * 2654435761 + 12345;
  for (std::int64_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    ids.push_back(static_cast<std::int32_t>((state >> 33) % static_cast<std::uint64_t>(vocabulary)));
  }
  if (count > 0) ids[0] = 1;
  return ids;
}

inline at::Tensor ids_tensor(const std::vector<std::int32_t>& ids) {
  return at::tensor(at::ArrayRef<std::int32_t>(ids.data(), ids.size()), at::kInt).to(at::kLong).unsqueeze(0);
}

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return std::numeric_limits<double>::infinity();
  if (a.numel() == 0) return 0;
  const double largest = (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
  return std::isnan(largest) ? std::numeric_limits<double>::infinity() : largest;
}

}  // namespace uio::test
