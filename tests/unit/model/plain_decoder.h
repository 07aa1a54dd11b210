// A decoder written out in double, one query at a time, for what the tests of contexts must equal. Shares no code with lib/.
#pragma once

#include <cmath>
#include <functional>
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
      q = q.contiguous(), k = k.contiguous(), v = v.contiguous();
      const auto queries = q.accessor<double, 3>(), keys = k.accessor<double, 3>(), values = v.accessor<double, 3>();
      auto out = attended.accessor<double, 3>();
      for (std::int64_t t = 0; t < count; ++t) {
        const View sees = view(t);
        for (std::int64_t head = 0; head < c_.heads; ++head) {
          const std::int64_t group = head / (c_.heads / c_.kv_heads);
          const std::vector<double> query = rotated(queries[t][head], sees.position);
          double total = 0;
          std::vector<double> sum(static_cast<std::size_t>(c_.head_size));
          for (const auto& [index, position] : sees.keys) {
            if (window > 0 && sees.position - position >= window) continue;
            const std::vector<double> key = rotated(keys[index][group], position);
            double score = 0;
            for (std::size_t i = 0; i < key.size(); ++i) score += query[i] * key[i];
            const double weight = std::exp(score / std::sqrt(static_cast<double>(c_.head_size)));
            total += weight;
            for (std::size_t i = 0; i < key.size(); ++i) sum[i] += weight * values[index][group][static_cast<std::int64_t>(i)];
          }
          for (std::size_t i = 0; i < sum.size(); ++i) out[t][head][static_cast<std::int64_t>(i)] = sum[i] / total;
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
  template <typename Row>
  std::vector<double> rotated(const Row& from, std::int64_t position) const {
    const std::int64_t half = c_.head_size / 2;
    std::vector<double> out(static_cast<std::size_t>(c_.head_size));
    for (std::int64_t j = 0; j < half; ++j) {
      const double frequency = std::pow(c_.rope.theta, -2.0 * static_cast<double>(j) / static_cast<double>(c_.head_size));
      const double cosine = std::cos(static_cast<double>(position) * frequency),
                   sine = std::sin(static_cast<double>(position) * frequency);
      out[static_cast<std::size_t>(j)] = from[j] * cosine - from[j + half] * sine;
      out[static_cast<std::size_t>(j + half)] = from[j + half] * cosine + from[j] * sine;
    }
    return out;
  }

  ModelConfig c_;
  Tensors w_;
};

}  // namespace uio::test
