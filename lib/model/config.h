// config.json of a Hugging Face directory as the numbers that decide the computation. Torch-free.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "io/json.h"
#include "io/record.h"

namespace uio {

enum class RopeKind { kDefault, kLinear, kDynamic, kYarn, kLlama3 };

// Rotary position embedding and its scaling, as transformers reads it (`rope_scaling` or, from v5, `rope_parameters`).
struct RopeConfig {
  RopeKind kind = RopeKind::kDefault;
  double theta = 10000;
  double factor = 1;
  double original_positions = 0;  // yarn, llama3: positions of the pretrained model
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  double attention_factor = 0;                       // yarn; 0: derived
  double mscale = 0, mscale_all_dim = 0;             // yarn; 0: absent
  bool truncate = true;                              // yarn
};

// Layers that attend to a memory of raw keys and values beside their local window (LongLLaMA, arXiv 2307.03170). Without memory they are
// layers like the others.
struct MemoryLayers {
  std::vector<std::int64_t> layers;  // ascending; none: the model has no memory of its own
  bool has_positions = true;         // in these layers local keys have their positions and memories position 0; false: none has any
  DType dtype = DType::kBf16;        // of memories
};

struct ModelConfig {
  std::string model_type;
  std::int64_t hidden_size = 0, intermediate_size = 0, layers = 0, heads = 0, kv_heads = 0, head_size = 0, vocabulary = 0;
  std::int64_t positions = 0;  // max_position_embeddings
  double norm_epsilon = 1e-6;
  double initializer_range = 0.02;  // standard deviation of fresh weights
  bool tied_embeddings = false;
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  bool qk_norm = false;                     // RMSNorm of each head's query and key before rotation (Qwen3)
  std::vector<std::int64_t> sliding;        // per layer: number of keys a query sees, itself included; 0: all
  std::vector<std::int32_t> eos;            // ids that end a generation
  std::int32_t bos = -1;
  RopeConfig rope;
  MemoryLayers memory;

  // Positions that a context may use: max_position_embeddings, or what the rope scaling extends them to.
  std::int64_t capacity() const;
  // What attention multiplies scores by, d^-1/2.
  double score_scale() const { return 1.0 / std::sqrt(static_cast<double>(head_size)); }
  // How many numbers its weights are.
  std::int64_t parameters() const;
};

// Throws Error{kData} for missing keys and wrong types, Error{kMismatch} naming the key for anything that changes the
// computation and is not understood. `subject` is the file's path.
ModelConfig parse_model_config(const Json& json, const std::string& subject);
ModelConfig read_model_config(const std::string& directory);

// `layers` in ascending order. Throws Error{kMismatch} for one that a model of `count` layers has not, or that is named twice.
std::vector<std::int64_t> checked_memory_layers(std::vector<std::int64_t> layers, std::int64_t count, const std::string& subject);

// The configuration as one canonical text: part of the model's fingerprint. Equal computations give equal texts. Memory layers are not in it:
// they are the memory method's.
std::string canonical(const ModelConfig& config);

}  // namespace uio
