// Adapters: the trained parts that make and read memories, and how to use them. Files: design of the adapter directory in uio(7).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/jobs.h"
#include "io/json.h"
#include "model/model.h"
#include "search/search_settings.h"

namespace uio {

// How memory slots see the segment, and where they stand (arXiv 2406.18173, released code).
enum class SlotRule {
  kStaged,  // slot i sees the first round((i+1)·n/M) of n tokens and itself, at that position
  kCausal   // slot i sees every token and the slots before it, at position n + i
};
const char* name_of(SlotRule rule);

// adapter_config.json.
struct AdapterConfig {
  std::string method = "uio";
  std::uint32_t segment_length = 1024;  // L, tokens
  std::uint32_t memory_length = 32;     // M, memory tokens
  std::int64_t lora_rank = 0;
  double lora_alpha = 0;
  SlotRule mask = SlotRule::kStaged, positions = SlotRule::kStaged;
  std::vector<Projection> encoder_targets = {Projection::kQuery, Projection::kValue};
  std::vector<Projection> transfer_targets = {Projection::kKey, Projection::kValue};
  std::string base_fingerprint;  // empty: not said
};

Json to_json(const AdapterConfig& config);
// Throws Error{kData} for missing keys and wrong types, Error{kMismatch} for what is not understood, naming the key.
AdapterConfig parse_adapter_config(const Json& json, const std::string& subject);

// How many numbers such an adapter is for a model of this shape.
std::int64_t parameters_of(const AdapterConfig& adapter, const ModelConfig& model, bool shared_row);

// How memories of raw keys and values are used (method fot).
struct WindowSettings {
  MemoryLayers memory;     // which layers have them, and how
  std::uint32_t tail = 0;  // tokens of a document's end that stay raw
  SearchSettings search;   // of the memory
};

struct Adapter {
  AdapterConfig config;
  WindowSettings window;            // of a method without trained parts, which has nothing else
  at::Tensor memory_tokens;         // [M or 1, D], residual dtype
  std::vector<LayerLora> encoder;   // per layer; undefined pairs have no effect
  std::vector<LayerLora> transfer;  // per layer, keys and values only
  std::string fingerprint;

  // Token position of slot i, and how many of the segment's first tokens it sees, in a segment of `tokens` tokens: at most L, which
  // only a segment that its content closes is shorter than.
  std::int64_t slot_position(std::int64_t slot, std::int64_t tokens) const;
  std::int64_t slot_cover(std::int64_t slot, std::int64_t tokens) const;
  // In one of L tokens.
  std::int64_t slot_position(std::int64_t slot) const { return slot_position(slot, config.segment_length); }
  std::int64_t slot_cover(std::int64_t slot) const { return slot_cover(slot, config.segment_length); }
};

// Reads a directory. Throws what its files deserve, and Error{kMismatch} for tensors of other shapes than the model's or an
// adapter made for another base (both fingerprints named; a model without one is any).
Adapter load_adapter(const std::string& directory, const Model& model);
// An untrained one: M equal rows copied from the end-of-sequence token's embedding, no LoRA.
Adapter fresh_adapter(const Model& model, std::uint32_t segment_length, std::uint32_t memory_length);
// One to be trained: memory rows copied from the end-of-sequence token's embedding (one row, or M), LoRA of the configured rank
// and targets with A Kaiming-uniform (a = √5: bound 1/√in) and B = 0, so that it computes what fresh_adapter's does.
Adapter initial_adapter(const Model& model, AdapterConfig config, bool shared_row, std::uint64_t seed);

// Every tensor by its name in the adapter's file, in that file's order of layers.
void for_each_tensor(Adapter& adapter, const std::function<void(const std::string& name, at::Tensor& tensor)>& visit);

// L and M of an adapter that is made afresh.
struct SegmentShape {
  std::uint32_t length, slots;
};
// What `choice` asks for; by default 1024 tokens, at most half of what the model takes, and a memory token for each 32 of them.
SegmentShape asked_segments(const ModelChoice& choice, const ModelConfig& model);

// The same weights for segments of another length, and another number of memory tokens (0: as many as it has). Throws Error{kUsage}
// for another number where each token has a row of its own, Error{kMismatch} where the model has too few positions.
Adapter with_segments(Adapter adapter, const SegmentShape& shape, const Model& model);

// The settings of memory layers, of the model's config.json and what `choice` says instead: no trained parts. Throws what read_memory_window and
// checked_memory_layers throw, and Error{kUsage} where no layer is named.
Adapter window_adapter(const ModelChoice& choice, const Model& model);

// What `choice` asks for: the directory it names, `adapter` inside the model's, or "fresh"; or memory layers (choose_method). Throws Error{kUsage}
// when there is none, or when L or M are asked for that are not the adapter's.
Adapter choose_adapter(const ModelChoice& choice, const Model& model);

}  // namespace uio
