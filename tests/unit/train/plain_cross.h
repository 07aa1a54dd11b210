// A step of CrossBatch training as one graph: every window of every document on its own, what each sees written out as a row of scores. Slow, and
// shares with lib/train neither how documents lie side by side nor how gradients go.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <vector>

#include "io/jobs.h"
#include "memory/adapter.h"
#include "model/model.h"
#include "model/rope.h"
#include "train/plan.h"

namespace uio::test {

class PlainCross {
 public:
  PlainCross(const Model& model, const WindowSettings& settings, std::int64_t length)
      : model_(model), settings_(settings), length_(length), rope_(model.config(), length, model.placement().computed, at::kCPU) {}
  bool through_memory = true;

  // The mean over the documents of their weighted mean −log p; `terms`, where not null, are that of each.
  at::Tensor loss(const std::vector<Document>& documents, const std::vector<Mixture>& mixtures, std::vector<double>* terms = nullptr) {
    const auto count = static_cast<std::int64_t>(documents.size());
    std::vector<std::vector<Window>> made(documents.size());
    std::vector<at::Tensor> sums(documents.size(), at::zeros({}, at::kDouble));
    std::int64_t windows = 0;
    for (const Document& document : documents) windows = std::max(windows, windows_of(document));
    for (std::int64_t w = 0; w < windows; ++w)
      for (std::int64_t i = 0; i < count; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const Document& document = documents[at];
        if (w >= windows_of(document)) continue;
        std::vector<const Window*> seen;
        for (std::int64_t p = std::max<std::int64_t>(0, w - mixtures[at].positives); p < w; ++p) seen.push_back(&made[at][static_cast<std::size_t>(p)]);
        for (std::int64_t k = 1; w > 0 && k <= mixtures[at].negatives; ++k) {
          const auto other = static_cast<std::size_t>((i + k) % count);
          seen.push_back(&made[other][static_cast<std::size_t>(std::min(w, windows_of(documents[other])) - 1)]);
        }
        made[at].push_back(read(document, w, seen));
        sums[at] = sums[at] + made[at].back().score;
      }
    at::Tensor total = at::zeros({}, at::kDouble);
    for (std::size_t i = 0; i < documents.size(); ++i) {
      double weight = 0;
      for (std::size_t p = 1; p < documents[i].weights.size(); ++p) weight += documents[i].weights[p];
      const at::Tensor term = weight > 0 ? sums[i] / weight : sums[i];
      if (terms) terms->push_back(term.item<double>());
      total = total + term / static_cast<double>(count);
    }
    return total;
  }

 private:
  struct Window {
    std::vector<at::Tensor> keys, values;  // of each memory layer, [T, G, d], keys as a memory has them
    at::Tensor score;                      // Σ weight · −log p of what it predicts
  };
  std::int64_t windows_of(const Document& document) const { return (static_cast<std::int64_t>(document.ids.size()) + length_ - 1) / length_; }

  Window read(const Document& document, std::int64_t w, const std::vector<const Window*>& seen) {
    const auto begin = w * length_, end = std::min<std::int64_t>(begin + length_, static_cast<std::int64_t>(document.ids.size()));
    Window window;
    std::size_t number = 0;
    at::Tensor x = model_.embed(at::tensor(at::ArrayRef<std::int64_t>(document.ids.data() + begin, static_cast<std::size_t>(end - begin)), at::kLong).unsqueeze(0));
    for (std::int64_t l = 0; l < model_.config().layers; ++l)
      x = model_.layer(l, x, [&](std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
        const auto& layers = settings_.memory.layers;
        const bool is_memory = std::find(layers.begin(), layers.end(), layer) != layers.end(), is_rotated = !is_memory || settings_.memory.has_positions;
        const auto placed = [&](const at::Tensor& heads) { return is_rotated ? rope_.rotate(heads[0].transpose(0, 1), 0).transpose(0, 1) : heads[0]; };
        std::vector<at::Tensor> keys, values;
        if (is_memory) {
          for (const Window* one : seen) keys.push_back(one->keys[number]), values.push_back(one->values[number]);
          const at::Tensor own = through_memory ? k[0] : k[0].detach(), value = through_memory ? v[0] : v[0].detach();
          const at::Tensor first = at::zeros({k.size(1)}, at::kLong);
          window.keys.push_back(is_rotated ? rope_.rotate(own.transpose(0, 1), first).transpose(0, 1) : own);
          window.values.push_back(value);
          ++number;
        }
        keys.push_back(placed(k)), values.push_back(v[0]);
        return weighed(placed(q), at::cat(keys), at::cat(values), model_.config().sliding[static_cast<std::size_t>(layer)]);
      });
    const at::Tensor table = at::log_softmax(model_.logits(model_.final_norm(x))[0], -1);
    window.score = at::zeros({}, at::kDouble);
    for (std::int64_t t = begin; t < end && t + 1 < static_cast<std::int64_t>(document.ids.size()); ++t) {
      const auto next = static_cast<std::size_t>(t + 1);
      window.score = window.score - document.weights[next] * table[t - begin][document.ids[next]];
    }
    return window;
  }

  // Queries [T, H, d] over keys [S + T, G, d] whose last T are the queries' own: one softmax a query and head.
  at::Tensor weighed(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, std::int64_t sliding) const {
    const std::int64_t count = q.size(0), heads = q.size(1), before = k.size(0) - count, shared = heads / k.size(1);
    at::Tensor hidden = at::zeros({count, k.size(0)}, at::kBool);
    for (std::int64_t t = 0; t < count; ++t)
      for (std::int64_t j = 0; j < count; ++j) hidden[t][before + j] = j > t || (sliding > 0 && t - j >= sliding);
    std::vector<at::Tensor> out;
    for (std::int64_t h = 0; h < heads; ++h) {
      const at::Tensor scores = q.select(1, h).matmul(k.select(1, h / shared).t()) / std::sqrt(static_cast<double>(q.size(2)));
      out.push_back(at::softmax(scores.masked_fill(hidden, -std::numeric_limits<double>::infinity()), -1).matmul(v.select(1, h / shared)));
    }
    return at::cat(out, 1).unsqueeze(0);
  }

  const Model& model_;
  WindowSettings settings_;
  std::int64_t length_;
  RopeTable rope_;
};

}  // namespace uio::test
