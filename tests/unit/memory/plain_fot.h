// The released LongLLaMA written out in double, one token at a time (arXiv 2307.03170), for what the method fot must equal. Shares no code with lib/
// but the reading of configurations.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "unit/model/tiny.h"

namespace uio::test {

class PlainFot {
 public:
  PlainFot(const TinyModel& model, std::set<std::int64_t> layers, std::int64_t window, std::int64_t tail)
      : c_(parse_model_config(model.config, "tiny")), layers_(std::move(layers)), window_(window), tail_(tail) {
    for (const auto& [name, tensor] : model.weights) w_[name] = tensor.to(at::kDouble);
    if (c_.tied_embeddings) w_["lm_head.weight"] = w_.at("model.embed_tokens.weight");
  }
  bool has_positions = true;
  at::ScalarType kept = at::kDouble;  // dtype of the memory
  std::int64_t nearest = 0;           // keys that a head sees of the memory; 0: all
  std::function<void(std::int64_t layer, const std::vector<double>& weights)> watch;  // told, for each head and token, what its memory's keys weigh

  struct Cache {
    std::vector<at::Tensor> keys, values;  // a token each, [G, d]
  };
  std::map<std::int64_t, Cache> local, memory;

  // Logits after one token; the local window moves first when it is full.
  at::Tensor step(std::int32_t id) {
    if (static_cast<std::int64_t>(local[0].keys.size()) == window_) move();
    at::Tensor x = w_.at("model.embed_tokens.weight")[id];
    for (std::int64_t l = 0; l < c_.layers; ++l) {
      const std::string prefix = "model.layers." + std::to_string(l) + ".";
      const at::Tensor h = norm(x, prefix + "input_layernorm.weight");
      const at::Tensor q = linear(h, prefix + "self_attn.q_proj").view({c_.heads, c_.head_size});
      Cache& here = local[l];
      here.keys.push_back(linear(h, prefix + "self_attn.k_proj").view({c_.kv_heads, c_.head_size}));
      here.values.push_back(linear(h, prefix + "self_attn.v_proj").view({c_.kv_heads, c_.head_size}));
      const bool is_memory = layers_.contains(l), is_rotated = !is_memory || has_positions;
      const auto position = static_cast<std::int64_t>(here.keys.size()) - 1;
      std::vector<at::Tensor> attended;
      for (std::int64_t head = 0; head < c_.heads; ++head) {
        const std::int64_t group = head / (c_.heads / c_.kv_heads);
        const at::Tensor query = is_rotated ? rotated(q[head], position) : q[head];
        std::vector<std::pair<double, at::Tensor>> far, seen;  // scores and values
        if (is_memory)
          for (std::size_t j = 0; j < memory[l].keys.size(); ++j)
            far.emplace_back(query.dot(memory[l].keys[j][group]).item<double>(), memory[l].values[j][group]);
        if (is_memory && watch) {
          std::vector<double> weights;
          for (const auto& [score, value] : far) weights.push_back(std::exp(score / std::sqrt(static_cast<double>(c_.head_size))));
          watch(l, weights);
        }
        std::sort(far.begin(), far.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
        if (nearest > 0 && static_cast<std::int64_t>(far.size()) > nearest) far.resize(static_cast<std::size_t>(nearest));
        seen = far;
        for (std::int64_t j = 0; j <= position; ++j) {
          const at::Tensor& key = here.keys[static_cast<std::size_t>(j)][group];
          seen.emplace_back(query.dot(is_rotated ? rotated(key, j) : key).item<double>(), here.values[static_cast<std::size_t>(j)][group]);
        }
        double total = 0;
        at::Tensor sum = at::zeros({c_.head_size}, at::kDouble);
        for (const auto& [score, value] : seen) {
          const double weight = std::exp(score / std::sqrt(static_cast<double>(c_.head_size)));
          total += weight;
          sum = sum + weight * value;
        }
        attended.push_back(sum / total);
      }
      x = x + linear(at::cat(attended), prefix + "self_attn.o_proj");
      const at::Tensor f = norm(x, prefix + "post_attention_layernorm.weight"), gate = linear(f, prefix + "mlp.gate_proj");
      x = x + linear(gate / (1 + (-gate).exp()) * linear(f, prefix + "mlp.up_proj"), prefix + "mlp.down_proj");
    }
    return w_.at("lm_head.weight").matmul(norm(x, "model.norm.weight"));
  }

  // The local window becomes memory in the memory layers, and is forgotten in the others.
  void move() {
    for (auto& [layer, cache] : local) {
      for (std::size_t j = 0; layers_.contains(layer) && j < cache.keys.size(); ++j) {
        memory[layer].keys.push_back(cache.keys[j].to(kept).to(at::kDouble));
        memory[layer].values.push_back(cache.values[j].to(kept).to(at::kDouble));
      }
      cache = {};
    }
  }

  // Logits of every token of an input: all but its tail in windows that become memory, then the tail.
  std::vector<at::Tensor> input(const std::vector<std::int32_t>& ids) {
    std::vector<at::Tensor> logits;
    const auto n = static_cast<std::int64_t>(ids.size()), prefix = std::max<std::int64_t>(0, n - tail_);
    for (std::int64_t t = 0; t < n; ++t) {
      logits.push_back(step(ids[static_cast<std::size_t>(t)]));
      if (t < prefix && ((t + 1) % window_ == 0 || t + 1 == prefix)) move();
    }
    return logits;
  }

  // log p of the tokens of a document but the first, read as one input.
  std::vector<double> score(const std::vector<std::int32_t>& ids) {
    const std::vector<at::Tensor> logits = input(ids);
    std::vector<double> scores;
    for (std::size_t t = 0; t + 1 < ids.size(); ++t) scores.push_back(at::log_softmax(logits[t], -1)[ids[t + 1]].item<double>());
    return scores;
  }

  // Keys or values of a memory layer, [G, S, d].
  static at::Tensor stacked(const std::vector<at::Tensor>& rows) { return at::stack(rows, 1); }

 private:
  at::Tensor norm(const at::Tensor& x, const std::string& name) const {
    return x / (x.square().mean(-1, true) + c_.norm_epsilon).sqrt() * w_.at(name);
  }
  at::Tensor linear(const at::Tensor& x, const std::string& name) const {
    const at::Tensor y = w_.at(name + ".weight").matmul(x);
    return w_.count(name + ".bias") ? y + w_.at(name + ".bias") : y;
  }
  at::Tensor rotated(const at::Tensor& x, std::int64_t position) const {
    const std::int64_t half = c_.head_size / 2;
    const at::Tensor frequency = at::pow(c_.rope.theta, at::arange(half, at::kDouble) * (-2.0 / static_cast<double>(c_.head_size)));
    const at::Tensor angle = frequency * static_cast<double>(position), cosine = angle.cos(), sine = angle.sin();
    const at::Tensor low = x.narrow(0, 0, half), high = x.narrow(0, half, half);
    return at::cat({low * cosine - high * sine, high * cosine + low * sine});
  }

  ModelConfig c_;
  std::set<std::int64_t> layers_;
  std::int64_t window_, tail_;
  Tensors w_;
};

}  // namespace uio::test
