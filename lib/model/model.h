// A Llama-family decoder as plain parts: embedding, projections, blocks, logits. Who attends to what is the caller's business
// (lib/memory), so that encoder, decoder and baselines share one forward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/jobs.h"
#include "kernels/int8_linear.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/shapes.h"

namespace uio {

namespace kernels {
struct RowWeight;
struct TokenCache;
}

// Where and in which numbers a model computes.
struct Placement {
  at::Device device = at::kCPU;
  at::ScalarType stored = at::kFloat;    // dtype of weights at rest, and of memories
  at::ScalarType computed = at::kFloat;  // dtype of activations and products; differs where the CPU has no products of `stored`
  bool int8_weights = false;             // matrices of layers and the output matrix rounded to 8 bits when they are loaded
  at::ScalarType residual() const { return computed == at::kDouble ? at::kDouble : at::kFloat; }
};

// A low-rank update: y += scale · (x Aᵀ) Bᵀ. a [r, in], b [out, r]; both undefined: none.
struct Lora {
  at::Tensor a, b;
  double scale = 0;
};

enum class Projection { kQuery, kKey, kValue, kOutput, kGate, kUp, kDown };
inline constexpr int kProjections = 7;
const char* name_of(Projection projection);  // "q_proj", …

// Sizes of a projection's input and output.
struct ProjectionSize {
  std::int64_t in, out;
  std::int64_t weights() const { return in * out; }
};
ProjectionSize size_of(const ModelConfig& config, Projection projection);

// LoRA pairs of one layer, by projection.
using LayerLora = std::array<Lora, kProjections>;

// Given a layer's un-rotated q [B, T, H, d], k and v [B, T, G, d]: the attention's output [B, T, H·d].
using Attend = std::function<at::Tensor(std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v)>;

class Model {
 public:
  enum class Weights {
    kCheckpoint,  // those of the directory
    kFresh,       // matrices and embeddings drawn from N(0, initializer_range), norms 1, biases 0; the directory needs only config.json
    kShapes       // none are read: the checkpoint is checked as ever, and the weights are tensors of the meta device, which have no numbers
  };
  // Maps and checks everything; weights whose dtype is `placement.stored` are used where they lie.
  // Throws what Checkpoint and parse_model_config throw, and Error{kMismatch} for tensors that are not understood.
  Model(const std::string& directory, Placement placement, const std::string& cache_dir, int threads,
        Weights weights = Weights::kCheckpoint, std::uint64_t seed = 0);

  // Throws Error{kMismatch} for ids of [low, high] outside the vocabulary.
  void check_ids(std::int64_t low, std::int64_t high) const;

  // Every weight by its checkpoint's name, to look at or to replace by another tensor of the same shape (trained ones are leaves
  // that require gradients). Tied embeddings are visited once and stay tied. Not with int8 weights.
  void for_each_weight(const std::function<void(const std::string& name, at::Tensor& weight)>& visit);

  const ModelConfig& config() const { return config_; }
  const Placement& placement() const { return placement_; }
  const std::string& directory() const { return directory_; }
  // Empty where no weights were read (kShapes) and it is not remembered either.
  const std::string& fingerprint() const { return fingerprint_; }

  // ids [B, T] int64 → residual stream [B, T, D]. Throws Error{kData} for an id outside the vocabulary.
  at::Tensor embed(const at::Tensor& ids) const;
  // The row of one token, [D].
  at::Tensor embedding_row(std::int64_t id) const;

  // Input of layer's attention: RMSNorm of the residual stream [B, T, D], in `computed`.
  at::Tensor attention_input(std::int64_t layer, const at::Tensor& x) const;
  // One projection of rows [..., in] → [..., out], with its bias and, if given, LoRA.
  at::Tensor project(std::int64_t layer, Projection projection, const at::Tensor& rows, const Lora* lora = nullptr) const;
  // Several projections of the same rows, as project() of each.
  std::vector<at::Tensor> project_each(std::int64_t layer, std::span<const Projection> projections, const at::Tensor& rows,
                                       const LayerLora* lora = nullptr) const;
  // Query, key or value heads of `input` [B, T, D]: [B, T, heads, d], per-head norms applied (Qwen3), not rotated.
  at::Tensor heads(std::int64_t layer, Projection projection, const at::Tensor& input, const Lora* lora = nullptr) const;
  // Residual stream after attention's output [B, T, H·d] and the feed-forward layer; x [B, T, D] is the layer's input.
  at::Tensor finish(std::int64_t layer, const at::Tensor& x, const at::Tensor& attended, const LayerLora* lora = nullptr) const;
  // One whole layer.
  at::Tensor layer(std::int64_t layer, const at::Tensor& x, const Attend& attend, const LayerLora* lora = nullptr) const;

  // All layers, one after the other.
  at::Tensor layers(at::Tensor x, const Attend& attend) const;
  // One token of each of R streams through all layers, x [R, 1, D] → the residual stream [R, 1, D], where the ops one by one are not needed (kernels/token_pass.h);
  // undefined otherwise. caches: where the R streams keep the first layer's keys and values, then the next one's; whatever is returned, they may be asked again.
  at::Tensor pass_tokens(const at::Tensor& x, std::span<const kernels::TokenCache> caches) const;

  // Final norm of [..., D], in `computed`.
  at::Tensor final_norm(const at::Tensor& x) const;
  // The output matrix [V, D]; the embedding where they are tied. Not with int8 weights.
  const at::Tensor& head() const { return head_; }
  // Logits of final-normed rows [R, D]: [R, V] in f32 (f64 for f64).
  at::Tensor logits(const at::Tensor& rows) const;
  // log p(target | row) of final-normed rows [R, D], targets int64 [R]: [R] f32 (f64); the logits of all rows never exist at once.
  at::Tensor log_probabilities(const at::Tensor& rows, const at::Tensor& targets) const;

  // Arithmetic of one token through all layers without attention over keys, and of its logits, in FLOPs (2 per weight).
  double layer_flops() const;
  double logits_flops() const;

 private:
  struct Linear {
    at::Tensor weight;            // undefined with int8 weights
    kernels::Int8Weight rounded;  // undefined without
    at::Tensor bias;
  };
  // Query, key and value projections of the normalised residual stream x [B, T, D].
  std::vector<at::Tensor> attention_projections(std::int64_t layer, const at::Tensor& x, const LayerLora* lora) const;
  // The weights as products of few rows read them; none where the rows [R, in] are not few or the ops one by one have to do.
  std::vector<kernels::RowWeight> few_row_weights(std::int64_t layer, std::span<const Projection> projections, const at::Tensor& rows, const LayerLora* lora) const;
  // What heads() makes of a projection [B, T, out].
  at::Tensor as_heads(std::int64_t layer, Projection projection, const at::Tensor& projected) const;
  // The weight as it is to be kept.
  Linear linear_of(at::Tensor weight, kernels::WeightMemory& memory) const;
  struct Layer {
    at::Tensor attention_norm, feed_norm, query_norm, key_norm;
    std::array<Linear, kProjections> linear;
  };

  std::string directory_;
  Placement placement_;
  std::unique_ptr<Checkpoint> checkpoint_;  // null: fresh weights
  ModelConfig config_;
  std::string fingerprint_;
  at::Tensor embedding_, final_norm_, head_;
  kernels::Int8Weight rounded_head_;
  std::vector<Layer> layers_;
};

}  // namespace uio
