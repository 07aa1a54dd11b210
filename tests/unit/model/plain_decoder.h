// A decoder written out in double, one query at a time, for what the tests of contexts must equal. Shares no code with lib/.
#pragma once

#include <cmath>
#include <functional>
#include <numbers>
#include <vector>

#include "unit/model/tiny.h"

namespace uio::test {

// What one query sees: its own position, and keys by index (memory slots first, then tokens) with the positions they have for
// it.
struct View {
  std::int64_t position;
  std::vector<std::pair<std::int64_t, std::int64_t>> keys;  // index, position
};

class PlainDecoder {
 public:
  explicit PlainDecoder(const TinyModel& model) : c_(parse_model_config(model.config, "tiny")) {
    for (const auto& [name, tensor] : model.weights) w_[name] = tensor.to(at::kDouble);
    if (c_.tied_embeddings) w_["lm_head.weight"] = w_.at("model.embed_tokens.weight");
    // Plain rotation only: every other rotation has its own tests.
    REQUIRE(c_.rope.kind == RopeKind::kDefault);
  }

  // Logits [T, V] of `ids` behind un-rotated memory keys and values [N, G, P, d] (undefined: none). `view` says what token t
  // sees.
  at::Tensor logits(const std::vector<std::int32_t>& ids, const std::function<View(std::int64_t)>& view,
                    const at::Tensor& memory_keys = {}, const at::Tensor& memory_values = {}) const {
    const auto count = static_cast<std::int64_t>(ids.size());
    at::Tensor x = w_.at("model.embed_tokens.weight").index_select(0, ids_tensor(ids).squeeze(0));
    for (std::int64_t l = 0; l < c_.layers; ++l) {
      const std::string prefix = "model.layers." + std::to_string(l) + ".";
      const at::Tensor h = norm(x, prefix + "input_layernorm.weight");
      at::Tensor q = linear(h, prefix + "self_attn.q_proj").view({count, c_.heads, c_.head_size});
      at::Tensor k = linear(h, prefix + "self_attn.k_proj").view({count, c_.kv_heads, c_.head_size});
      at::Tensor v = linear(h, prefix + "self_attn.v_proj").view({count, c_.kv_heads, c_.head_size});
      if (c_.qk_norm) q = norm(q, prefix + "self_attn.q_norm.weight"), k = norm(k, prefix + "self_attn.k_norm.weight");
      if (memory_keys.defined()) {
        k = at::cat({memory_keys[l].to(at::kDouble).transpose(0, 1), k});
        v = at::cat({memory_values[l].to(at::kDouble).transpose(0, 1), v});
      }
      at::Tensor attended = at::zeros({count, c_.heads, c_.head_size}, at::kDouble);
      const std::int64_t window = c_.sliding[static_cast<std::size_t>(l)];
      for (std::int64_t t = 0; t < count; ++t) {
        const View sees = view(t);
        for (std::int64_t head = 0; head < c_.heads; ++head) {
          const std::int64_t group = head / (c_.heads / c_.kv_heads);
          const at::Tensor query = rotated(q[t][head], sees.position);
          std::vector<double> weights;
          std::vector<std::int64_t> indices;
          double total = 0;
          for (const auto& [index, position] : sees.keys) {
            if (window > 0 && sees.position - position >= window) continue;
            const double score =
                query.dot(rotated(k[index][group], position)).item<double>() / std::sqrt(static_cast<double>(c_.head_size));
            weights.push_back(std::exp(score));
            indices.push_back(index);
            total += weights.back();
          }
          for (std::size_t i = 0; i < weights.size(); ++i) attended[t][head].add_(v[indices[i]][group], weights[i] / total);
        }
      }
      x = x + linear(attended.flatten(1), prefix + "self_attn.o_proj");
      const at::Tensor f = norm(x, prefix + "post_attention_layernorm.weight");
      const at::Tensor gate = linear(f, prefix + "mlp.gate_proj");
      x = x + linear(gate / (1 + (-gate).exp()) * linear(f, prefix + "mlp.up_proj"), prefix + "mlp.down_proj");
    }
    return norm(x, "model.norm.weight").matmul(w_.at("lm_head.weight").t());
  }

  // Everything before, positions from 0, behind `memory` slots.
  static View causal(std::int64_t t, std::int64_t memory = 0) {
    View sees{memory + t, {}};
    for (std::int64_t index = 0; index <= memory + t; ++index) sees.keys.emplace_back(index, index);
    return sees;
  }

  // log p of ids[t + 1] after row t.
  static std::vector<double> following(const at::Tensor& logits, const std::vector<std::int32_t>& next) {
    std::vector<double> scores;
    const at::Tensor table = at::log_softmax(logits, -1);
    for (std::size_t i = 0; i < next.size(); ++i) scores.push_back(table[static_cast<std::int64_t>(i)][next[i]].item<double>());
    return scores;
  }

 private:
  at::Tensor norm(const at::Tensor& x, const std::string& name) const {
    return x / (x.square().mean(-1, true) + c_.norm_epsilon).sqrt() * w_.at(name);
  }
  at::Tensor linear(const at::Tensor& x, const std::string& name) const {
    const at::Tensor y = x.matmul(w_.at(name + ".weight").t());
    return w_.count(name + ".bias") ? y + w_.at(name + ".bias") : y;
  }
  at::Tensor rotated(const at::Tensor& x, std::int64_t position) const {
    const std::int64_t half = c_.head_size / 2;
    at::Tensor out = at::empty_like(x);
    auto to = out.accessor<double, 1>();
    const at::Tensor whole = x.contiguous();
    const auto from = whole.accessor<double, 1>();
    for (std::int64_t j = 0; j < half; ++j) {
      const double angle = static_cast<double>(position) *
                           std::pow(c_.rope.theta, -2.0 * static_cast<double>(j) / static_cast<double>(c_.head_size));
      to[j] = from[j] * std::cos(angle) - from[j + half] * std::sin(angle);
      to[j + half] = from[j + half] * std::cos(angle) + from[j] * std::sin(angle);
    }
    return out;
  }

  ModelConfig c_;
  Tensors w_;
};

}  // namespace uio::test
