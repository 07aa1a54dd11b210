#include "model/model.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/random.h"
#include "kernels/few_row_layer.h"
#include "kernels/linear.h"
#include "kernels/policy.h"
#include "kernels/rms_norm.h"
#include "kernels/rows.h"
#include "kernels/small_product.h"
#include "kernels/swiglu.h"
#include "kernels/token_pass.h"
#include "model/fingerprint.h"
#include "model/tensor.h"

namespace uio {
namespace {

constexpr std::int64_t kLogits = 1 << 24;  // logits alive at once (64 MB): enough rows for a product at full speed, never all of a text

constexpr Projection kAttention[] = {Projection::kQuery, Projection::kKey, Projection::kValue};  // those before attention, in its order
constexpr Projection kEvery[] = {Projection::kQuery, Projection::kKey, Projection::kValue, Projection::kOutput, Projection::kGate, Projection::kUp, Projection::kDown};

std::string layer_name(std::int64_t layer) { return "model.layers." + std::to_string(layer) + "."; }

const char* module_of(Projection projection) {
  return projection == Projection::kGate || projection == Projection::kUp || projection == Projection::kDown ? "mlp." : "self_attn.";
}

// Each weight from a stream of its own: the same whatever else the model has.
at::Tensor fresh_weight(const std::string& name, const std::vector<std::int64_t>& shape, double range, std::uint64_t seed) {
  if (name.ends_with(".bias")) return at::zeros(shape);
  if (shape.size() == 1) return at::ones(shape);
  return at::empty(shape).normal_(0, range, at::detail::createCPUGenerator(Random(seed, name).next()));
}

// The product `out` of rows [R, in], LoRA's update added to it where there is one.
at::Tensor updated(at::Tensor out, const at::Tensor& rows, const Lora* lora) {
  if (!lora || !lora->a.defined()) return out;
  const at::Tensor low = kernels::linear(rows, lora->a);
  // Added into the product's own rows: no tensor of updates, no pass to add it.
  const at::Tensor b = lora->b.to(out.scalar_type()).t();
  const kernels::OneThreadIfSmall one_thread(low.numel() * b.size(1));
  return out.requires_grad() || low.requires_grad() || b.requires_grad() ? at::addmm(out, low, b, 1, lora->scale) : out.addmm_(low, b, 1, lora->scale);
}

// A product [R, out] in the shape of its rows [..., in].
at::Tensor as_rows(const at::Tensor& out, const at::Tensor& rows) {
  std::vector<std::int64_t> sizes = rows.sizes().vec();
  sizes.back() = out.size(-1);
  return out.view(sizes);
}

}  // namespace

const char* name_of(Projection projection) {
  static constexpr const char* kNames[] = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  return kNames[static_cast<int>(projection)];
}

ProjectionSize size_of(const ModelConfig& c, Projection projection) {
  const std::int64_t q = c.heads * c.head_size, kv = c.kv_heads * c.head_size;
  switch (projection) {
    case Projection::kQuery: return {c.hidden_size, q};
    case Projection::kKey:
    case Projection::kValue: return {c.hidden_size, kv};
    case Projection::kOutput: return {q, c.hidden_size};
    case Projection::kGate:
    case Projection::kUp: return {c.hidden_size, c.intermediate_size};
    case Projection::kDown: return {c.intermediate_size, c.hidden_size};
  }
  return {};
}

Model::Model(const std::string& directory, Placement placement, const std::string& cache_dir, int threads, Weights weights, std::uint64_t seed)
    : directory_(directory), placement_(placement), config_(read_model_config(directory)) {
  const ModelConfig& c = config_;
  if (weights != Weights::kFresh) checkpoint_ = std::make_unique<Checkpoint>(directory);
  std::set<std::string> used;
  kernels::WeightMemory memory;
  const auto get = [&](const std::string& name, const std::vector<std::int64_t>& shape, at::ScalarType dtype) {
    if (!checkpoint_) return fresh_weight(name, shape, c.initializer_range, seed).to(placement_.device, dtype);
    used.insert(name);
    const TensorView& view = checkpoint_->tensor(name, shape);
    if (weights == Weights::kCheckpoint) return load(view, name, dtype, placement_.device);
    scalar_type_of(view.dtype, name);  // refuses what load() refuses
    return at::empty(shape, at::TensorOptions().device(at::kMeta).dtype(dtype));
  };
  const auto residual = placement_.residual();

  embedding_ = get("model.embed_tokens.weight", {c.vocabulary, c.hidden_size}, placement_.stored);
  final_norm_ = get("model.norm.weight", {c.hidden_size}, residual);
  if (c.tied_embeddings) {
    head_ = embedding_;
    used.insert("lm_head.weight");  // a copy of the embedding that some files keep
  } else {
    head_ = get("lm_head.weight", {c.vocabulary, c.hidden_size}, placement_.stored);
  }
  if (placement_.int8_weights) rounded_head_ = kernels::rounded_to_int8(std::exchange(head_, {}), &memory);

  const std::int64_t d = c.hidden_size;
  const bool has_bias[] = {c.qkv_bias, c.qkv_bias, c.qkv_bias, c.output_bias, c.mlp_bias, c.mlp_bias, c.mlp_bias};
  layers_.resize(static_cast<std::size_t>(c.layers));
  for (std::int64_t l = 0; l < c.layers; ++l) {
    Layer& layer = layers_[static_cast<std::size_t>(l)];
    const std::string prefix = layer_name(l);
    layer.attention_norm = get(prefix + "input_layernorm.weight", {d}, residual);
    layer.feed_norm = get(prefix + "post_attention_layernorm.weight", {d}, residual);
    if (c.qk_norm) {
      layer.query_norm = get(prefix + "self_attn.q_norm.weight", {c.head_size}, residual);
      layer.key_norm = get(prefix + "self_attn.k_norm.weight", {c.head_size}, residual);
    }
    for (int p = 0; p < kProjections; ++p) {
      const std::string name = prefix + module_of(static_cast<Projection>(p)) + name_of(static_cast<Projection>(p));
      const ProjectionSize size = size_of(c, static_cast<Projection>(p));
      Linear& linear = layer.linear[static_cast<std::size_t>(p)] = linear_of(get(name + ".weight", {size.out, size.in}, placement_.stored), memory);
      if (has_bias[p]) linear.bias = get(name + ".bias", {size.out}, placement_.computed);
    }
  }
  if (!checkpoint_) {
    fingerprint_ = fingerprint_of("uio-model fresh " + std::to_string(seed) + "\n" + canonical(c), {}, 1);
    return;
  }
  // A tensor that nobody asked for would change what other programs compute from this directory: say so rather than differ in silence.
  for (const auto& [name, view] : checkpoint_->tensors())
    if (!used.contains(name) && !name.ends_with(".rotary_emb.inv_freq"))
      throw Error(ErrorKind::kMismatch, "unsupported model", directory_, "tensor '" + name + "' is not understood");
  fingerprint_ = weights == Weights::kShapes ? remembered_fingerprint(*checkpoint_, config_, cache_dir).value_or("")
                                              : model_fingerprint(*checkpoint_, config_, cache_dir, threads);
}

Model::Linear Model::linear_of(at::Tensor weight, kernels::WeightMemory& memory) const {
  if (placement_.int8_weights) return {{}, kernels::rounded_to_int8(weight, &memory), {}};
  return {std::move(weight), {}, {}};
}

void Model::for_each_weight(const std::function<void(const std::string& name, at::Tensor& weight)>& visit) {
  visit("model.embed_tokens.weight", embedding_);
  if (config_.tied_embeddings)
    head_ = embedding_;
  else
    visit("lm_head.weight", head_);
  visit("model.norm.weight", final_norm_);
  for (std::int64_t l = 0; l < config_.layers; ++l) {
    Layer& layer = layers_[static_cast<std::size_t>(l)];
    const std::string prefix = layer_name(l);
    visit(prefix + "input_layernorm.weight", layer.attention_norm);
    visit(prefix + "post_attention_layernorm.weight", layer.feed_norm);
    if (config_.qk_norm) {
      visit(prefix + "self_attn.q_norm.weight", layer.query_norm);
      visit(prefix + "self_attn.k_norm.weight", layer.key_norm);
    }
    for (int p = 0; p < kProjections; ++p) {
      Linear& linear = layer.linear[static_cast<std::size_t>(p)];
      const std::string name = prefix + module_of(static_cast<Projection>(p)) + name_of(static_cast<Projection>(p));
      visit(name + ".weight", linear.weight);
      if (linear.bias.defined()) visit(name + ".bias", linear.bias);
    }
  }
}

void Model::check_ids(std::int64_t low, std::int64_t high) const {
  if (low >= 0 && high < config_.vocabulary) return;
  throw Error(ErrorKind::kMismatch, "token outside the model's vocabulary", std::to_string(low < 0 ? low : high),
              "the model has " + std::to_string(config_.vocabulary) + " tokens");
}

at::Tensor Model::embed(const at::Tensor& ids) const {
  if (ids.numel() > 0) check_ids(ids.min().item<std::int64_t>(), ids.max().item<std::int64_t>());
  return at::embedding(embedding_, ids.to(placement_.device)).to(placement_.residual());
}

at::Tensor Model::embedding_row(std::int64_t id) const { return embedding_.select(0, id); }

at::Tensor Model::attention_input(std::int64_t layer, const at::Tensor& x) const {
  return kernels::rms_norm(x, layers_[static_cast<std::size_t>(layer)].attention_norm, config_.norm_epsilon, placement_.computed);
}

std::vector<at::Tensor> Model::project_each(std::int64_t layer, std::span<const Projection> projections, const at::Tensor& rows, const LayerLora* lora) const {
  const at::Tensor flat = rows.reshape({-1, rows.size(-1)});
  std::vector<at::Tensor> weights, biases;
  std::vector<kernels::Int8Weight> rounded;
  for (const Projection projection : projections) {
    const Linear& linear = layers_[static_cast<std::size_t>(layer)].linear[static_cast<std::size_t>(projection)];
    if (placement_.int8_weights) rounded.push_back(linear.rounded);
    else weights.push_back(linear.weight);
    biases.push_back(linear.bias);
  }
  std::vector<at::Tensor> results = placement_.int8_weights ? kernels::linear_each(flat, rounded, biases) : kernels::linear_each(flat, weights, biases);
  for (std::size_t i = 0; i < results.size(); ++i)
    results[i] = as_rows(updated(std::move(results[i]), flat, lora ? &(*lora)[static_cast<std::size_t>(projections[i])] : nullptr), rows);
  return results;
}

at::Tensor Model::project(std::int64_t layer, Projection projection, const at::Tensor& rows, const Lora* lora) const {
  const Linear& linear = layers_[static_cast<std::size_t>(layer)].linear[static_cast<std::size_t>(projection)];
  const at::Tensor flat = rows.reshape({-1, rows.size(-1)});
  at::Tensor out = placement_.int8_weights ? kernels::linear(flat, linear.rounded, linear.bias) : kernels::linear(flat, linear.weight, linear.bias);
  return as_rows(updated(std::move(out), flat, lora), rows);
}

at::Tensor Model::heads(std::int64_t layer, Projection projection, const at::Tensor& input, const Lora* lora) const {
  return as_heads(layer, projection, project(layer, projection, input, lora));
}

at::Tensor Model::as_heads(std::int64_t layer, Projection projection, const at::Tensor& projected) const {
  at::Tensor out = projected.view({projected.size(0), projected.size(1), -1, config_.head_size});
  if (!config_.qk_norm || projection == Projection::kValue) return out;
  const Layer& weights = layers_[static_cast<std::size_t>(layer)];
  const at::Tensor& norm = projection == Projection::kQuery ? weights.query_norm : weights.key_norm;
  return kernels::rms_norm(out.to(placement_.residual()), norm, config_.norm_epsilon, placement_.computed);
}

std::vector<kernels::RowWeight> Model::few_row_weights(std::int64_t layer, std::span<const Projection> projections, const at::Tensor& rows, const LayerLora* lora) const {
  const Layer& all = layers_[static_cast<std::size_t>(layer)];
  if (lora || !rows.device().is_cpu() || all.attention_norm.requires_grad() || all.feed_norm.requires_grad()) return {};
  std::vector<kernels::RowWeight> weights;
  for (const Projection projection : projections) {
    const Linear& linear = all.linear[static_cast<std::size_t>(projection)];
    if (!placement_.int8_weights && (linear.weight.requires_grad() || !linear.weight.is_contiguous())) return {};
    weights.push_back(placement_.int8_weights ? kernels::row_weight(linear.rounded) : kernels::row_weight(linear.weight));
  }
  return kernels::fits_few_rows(rows, placement_.computed, weights) ? weights : std::vector<kernels::RowWeight>();
}

std::vector<at::Tensor> Model::attention_projections(std::int64_t layer, const at::Tensor& x, const LayerLora* lora) const {
  const at::Tensor flat = x.reshape({-1, x.size(-1)});
  const std::vector<kernels::RowWeight> few = few_row_weights(layer, kAttention, flat, lora);
  if (few.empty()) return project_each(layer, kAttention, attention_input(layer, x), lora);
  const Layer& weights = layers_[static_cast<std::size_t>(layer)];
  std::vector<at::Tensor> biases, out;
  for (const Projection projection : kAttention) biases.push_back(weights.linear[static_cast<std::size_t>(projection)].bias);
  for (const at::Tensor& rows : kernels::with_biases(kernels::norm_linear_each(flat, weights.attention_norm, config_.norm_epsilon, placement_.computed, few), biases))
    out.push_back(as_rows(rows, x));
  return out;
}

at::Tensor Model::finish(std::int64_t layer, const at::Tensor& x, const at::Tensor& attended, const LayerLora* lora) const {
  constexpr Projection kRest[] = {Projection::kOutput, Projection::kGate, Projection::kUp, Projection::kDown};
  if (!config_.output_bias && !config_.mlp_bias && !attended.requires_grad()) {
    const at::Tensor flat = x.reshape({-1, x.size(-1)});
    if (const auto few = few_row_weights(layer, kRest, flat, lora); !few.empty())
      return kernels::finish_few_rows(flat, attended.reshape({flat.size(0), -1}),
                                      {few[0], layers_[static_cast<std::size_t>(layer)].feed_norm, config_.norm_epsilon, few[1], few[2], few[3]})
          .view(x.sizes());
  }
  const auto pair = [&](Projection p) { return lora ? &(*lora)[static_cast<std::size_t>(p)] : nullptr; };
  const auto [middle, input] = kernels::add_rms_norm(x, project(layer, Projection::kOutput, attended, pair(Projection::kOutput)),
                                                     layers_[static_cast<std::size_t>(layer)].feed_norm, config_.norm_epsilon, placement_.computed);
  constexpr Projection kWide[] = {Projection::kGate, Projection::kUp};
  const std::vector<at::Tensor> wide = project_each(layer, kWide, input, lora);
  const at::Tensor down = project(layer, Projection::kDown, kernels::swiglu(wide[0], wide[1]), pair(Projection::kDown));
  return middle.requires_grad() || down.requires_grad() ? middle + down : at::Tensor(middle).add_(down);
}

at::Tensor Model::layer(std::int64_t layer, const at::Tensor& x, const Attend& attend, const LayerLora* lora) const {
  std::vector<at::Tensor> heads = attention_projections(layer, x, lora);
  for (std::size_t i = 0; i < heads.size(); ++i) heads[i] = as_heads(layer, kAttention[i], heads[i]);
  return finish(layer, x, attend(layer, heads[0], heads[1], heads[2]), lora);
}

at::Tensor Model::layers(at::Tensor x, const Attend& attend) const {
  for (std::int64_t l = 0; l < config_.layers; ++l) x = layer(l, x, attend);
  return x;
}

at::Tensor Model::pass_tokens(const at::Tensor& x, std::span<const kernels::TokenCache> caches) const {
  const at::Tensor flat = x.reshape({-1, x.size(-1)});
  if (config_.output_bias || config_.mlp_bias) return {};
  std::vector<kernels::TokenLayer> layers;
  for (std::int64_t l = 0; l < config_.layers; ++l) {
    const std::vector<kernels::RowWeight> few = few_row_weights(l, kEvery, flat, nullptr);
    if (few.empty() || (l > 0 && few.front().dtype != layers.front().projections[0].dtype)) return {};
    const Layer& from = layers_[static_cast<std::size_t>(l)];
    kernels::TokenLayer& to = layers.emplace_back();
    to.norm = from.attention_norm;
    for (std::size_t i = 0; i < to.projections.size(); ++i) {
      to.projections[i] = few[i];
      if (const at::Tensor& bias = from.linear[i].bias; bias.defined()) to.biases[i] = bias.to(at::kFloat).contiguous();
    }
    if (config_.qk_norm) to.head_norms = {from.query_norm, from.key_norm};
    to.rest = {few[3], from.feed_norm, config_.norm_epsilon, few[4], few[5], few[6]};
  }
  const kernels::TokenPass pass{{config_.heads, config_.kv_heads, config_.head_size}, config_.norm_epsilon, config_.score_scale(), placement_.computed};
  return kernels::pass_tokens(flat, layers, caches, pass).view(x.sizes());
}

at::Tensor Model::final_norm(const at::Tensor& x) const {
  return kernels::rms_norm(x.contiguous(), final_norm_, config_.norm_epsilon, placement_.computed);
}

at::Tensor Model::logits(const at::Tensor& rows) const {
  return (placement_.int8_weights ? kernels::linear(rows, rounded_head_) : kernels::linear(rows, head_)).to(placement_.residual());
}

at::Tensor Model::log_probabilities(const at::Tensor& rows, const at::Tensor& targets) const {
  const std::int64_t count = rows.size(0);
  at::Tensor out = at::empty({count}, rows.options().dtype(placement_.residual()));
  const at::Tensor wanted = targets.to(rows.device());
  const std::int64_t at_once = std::max<std::int64_t>(16, kLogits / config_.vocabulary);
  for (std::int64_t begin = 0; begin < count; begin += at_once) {
    const std::int64_t some = std::min(at_once, count - begin);
    const at::Tensor scores = logits(rows.narrow(0, begin, some));
    at::Tensor part = out.narrow(0, begin, some);
    if (scores.device().is_cpu() && scores.scalar_type() == at::kFloat && !kernels::is_reference_forced()) {
      const kernels::RowKernels& kernel = kernels::row_kernels();
      const float* from = scores.const_data_ptr<float>();
      const at::Tensor ids = wanted.narrow(0, begin, some).contiguous();
      const std::int64_t vocabulary = config_.vocabulary;
      float* to = part.mutable_data_ptr<float>();
      at::parallel_for(0, some, 1, [&](std::int64_t low, std::int64_t high) {
        for (std::int64_t row = low; row < high; ++row)
          to[row] = from[row * vocabulary + ids.const_data_ptr<std::int64_t>()[row]] - kernel.log_sum_exp(from + row * vocabulary, vocabulary);
      });
    } else {
      part.copy_(scores.gather(1, wanted.narrow(0, begin, some).unsqueeze(1)).squeeze(1) - scores.logsumexp(1));
    }
  }
  return out;
}

double Model::layer_flops() const {
  const ModelConfig& c = config_;
  const double q = static_cast<double>(c.heads * c.head_size), kv = static_cast<double>(c.kv_heads * c.head_size);
  const double d = static_cast<double>(c.hidden_size), f = static_cast<double>(c.intermediate_size);
  return 2 * static_cast<double>(c.layers) * (2 * q * d + 2 * kv * d + 3 * d * f);
}

double Model::logits_flops() const { return 2 * static_cast<double>(config_.hidden_size) * static_cast<double>(config_.vocabulary); }

}  // namespace uio
