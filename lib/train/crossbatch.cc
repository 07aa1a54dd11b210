#include "train/crossbatch.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

#include "kernels/attention.h"
#include "memory/first_position.h"
#include "memory/local_parts.h"
#include "model/recompute.h"
#include "model/tensor.h"
#include "train/carried.h"

namespace uio {

Crossbatch::Kept Crossbatch::Kept::part(std::int64_t begin, std::int64_t count) const {
  const auto cut = [&](const at::Tensor& whole) { return whole.defined() ? whole.narrow(2, begin, count) : at::Tensor(); };
  return {cut(keys), cut(values), cut(key_cotangents), cut(value_cotangents)};
}

Crossbatch::Crossbatch(const Trainee& trainee, const WindowSettings& settings, std::int64_t length, std::vector<CrossDocument> documents,
                       std::vector<CrossRows> rows, Processes& processes, LossTally& tally)
    : trainee_(trainee),
      settings_(settings),
      length_(length),
      documents_(std::move(documents)),
      rows_(std::move(rows)),
      processes_(processes),
      tally_(tally),
      rope_(trainee.model.config(), length, trainee.model.placement().computed, trainee.model.placement().device) {
  for (std::size_t i = 0; i < documents_.size(); ++i) windows_ = std::max(windows_, last_of(i) + 1);
  find_readers();
}

std::int64_t Crossbatch::last_of(std::size_t document) const { return (documents_[document].length - 1) / length_; }

std::int64_t Crossbatch::length_of(std::size_t document, std::int64_t window) const {
  return std::min(length_, documents_[document].length - window * length_);
}

// Which windows are memory of a later one follows from the documents alone, so that all processes find the same.
void Crossbatch::find_readers() {
  const std::size_t count = documents_.size();
  read_.assign(count, 0);
  for (std::size_t reader = 0; reader < count; ++reader) {
    const Mixture& mixture = documents_[reader].mixture;
    if (mixture.positives > 0) read_[reader] = std::max(read_[reader], last_of(reader));
    for (std::size_t k = 1; k <= mixture.negatives; ++k) {
      const std::size_t other = (reader + k) % count;
      read_[other] = std::max(read_[other], std::min(last_of(other) + 1, last_of(reader)));
    }
  }
}

bool Crossbatch::is_read(const CrossRows& rows, std::int64_t window) const {
  return std::any_of(rows.documents.begin(), rows.documents.end(), [&](std::size_t document) { return window < read_[document]; });
}

const Pass* Crossbatch::pass_of(const CrossRows& rows, std::int64_t window) const {
  for (const Pass& pass : rows.plan.passes)
    if (pass.memories == window) return &pass;
  return nullptr;
}

Crossbatch::Ring Crossbatch::ring_at(std::int64_t window) const {
  std::uint32_t most = 0;
  for (const CrossDocument& document : documents_) most = std::max(most, document.mixture.negatives);
  Ring ring;
  if (window == 0 || most == 0) return ring;
  ring.begins.push_back(0);
  for (std::size_t k = 0; k < documents_.size() + most; ++k) {
    const std::size_t document = k % documents_.size();
    ring.documents.push_back(document);
    ring.begins.push_back(ring.begins.back() + length_of(document, std::min(window - 1, last_of(document))));
  }
  for (const std::vector<Kept>& layer : kept_) {
    std::vector<at::Tensor> keys, values;
    for (const std::size_t document : ring.documents) {
      const std::int64_t seen = std::min(window - 1, last_of(document));
      const Kept one = layer[document].part(seen * length_, length_of(document, seen));
      keys.push_back(one.keys), values.push_back(one.values);
    }
    Kept joined{at::cat(keys, 2), at::cat(values, 2), {}, {}};
    if (layer.front().key_cotangents.defined()) joined.key_cotangents = at::zeros_like(joined.keys), joined.value_cotangents = at::zeros_like(joined.values);
    ring.layers.push_back(std::move(joined));
  }
  return ring;
}

void Crossbatch::return_cotangents(const Ring& ring, std::int64_t window) {
  for (std::size_t n = 0; n < ring.layers.size(); ++n)
    for (std::size_t k = 0; k < ring.documents.size(); ++k) {
      const std::size_t document = ring.documents[k];
      const std::int64_t seen = std::min(window - 1, last_of(document)), count = ring.begins[k + 1] - ring.begins[k];
      const Kept from = ring.layers[n].part(ring.begins[k], count), to = kept_[n][document].part(seen * length_, count);
      to.key_cotangents.add_(from.key_cotangents);
      to.value_cotangents.add_(from.value_cotangents);
    }
}

Crossbatch::Memory Crossbatch::memory_of(const CrossRows& rows, std::int64_t window, const Ring& ring, bool has_gradient) const {
  Memory memory(kept_.size(), std::vector<Seen>(rows.documents.size()));
  const auto see = [&](Seen& seen, Kept part) {
    part.keys = part.keys.detach().requires_grad_(has_gradient);
    part.values = part.values.detach().requires_grad_(has_gradient);
    seen.push_back(std::move(part));
  };
  for (std::size_t n = 0; n < kept_.size(); ++n)
    for (std::size_t row = 0; row < rows.documents.size(); ++row) {
      const std::size_t document = rows.documents[row];
      const Mixture& mixture = documents_[document].mixture;
      const std::int64_t positives = std::min<std::int64_t>(window, mixture.positives);
      if (positives > 0) see(memory[n][row], kept_[n][document].part((window - positives) * length_, positives * length_));
      if (window == 0 || mixture.negatives == 0) continue;
      const std::int64_t begin = ring.begins[document + 1];
      see(memory[n][row], ring.layers[n].part(begin, ring.begins[document + 1 + mixture.negatives] - begin));
    }
  return memory;
}

// Keys [B, T, G, d] as a memory of them is attended to, [B, G, T, d].
at::Tensor Crossbatch::as_first(const at::Tensor& keys) const {
  const at::Tensor heads = keys.transpose(1, 2);
  if (!settings_.memory.has_positions) return heads;
  return rotate_to_first(rope_, heads);
}

at::Tensor Crossbatch::attend(std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::vector<Seen>& seen) const {
  const ModelConfig& config = trainee_.model.config();
  const auto& layers = settings_.memory.layers;
  const bool is_rotated = settings_.memory.has_positions || std::find(layers.begin(), layers.end(), layer) == layers.end();
  const auto placed = [&](const at::Tensor& x) { return is_rotated ? rope_.rotate(x.transpose(1, 2), 0) : x.transpose(1, 2); };
  const std::int64_t window = config.sliding[static_cast<std::size_t>(layer)];
  const double scale = config.score_scale();
  const at::Tensor queries = placed(q), keys = placed(k), values = v.transpose(1, 2);
  const bool has_memory = std::any_of(seen.begin(), seen.end(), [](const Seen& row) { return !row.empty(); });
  if (!has_memory) return kernels::attention(local_parts(queries, keys, values, 0, window), scale).transpose(1, 2).flatten(2);
  // Each row has a memory of its own. In the dtype of what is kept: f32 has a gradient that keeps no scores.
  const auto wide = trainee_.model.placement().residual();
  const auto row_queries = queries.to(wide).split(1), row_keys = keys.to(wide).split(1), row_values = values.to(wide).split(1);
  std::vector<at::Tensor> rows;
  for (std::size_t row = 0; row < seen.size(); ++row) {
    auto parts = local_parts(row_queries[row], row_keys[row], row_values[row], 0, window);
    for (const Kept& part : seen[row]) parts.push_back({row_queries[row], part.keys, part.values, kernels::Visible::kAll, {}});
    rows.push_back(kernels::attention(parts, scale).transpose(1, 2));
  }
  return at::cat(rows).flatten(2).to(q.scalar_type());
}

// One window of some documents through the layers; without a pass only as far as the memory needs it.
Crossbatch::Made Crossbatch::read(const CrossRows& rows, std::int64_t window, const Memory& memory, const Pass* pass, bool is_memory) {
  const RecomputeScope scope(trainee_.recompute);
  const Model& model = trainee_.model;
  const auto& layers = settings_.memory.layers;
  Made made;
  std::size_t number = 0;
  at::Tensor x = model.embed(rows.plan.local[static_cast<std::size_t>(window)]);
  for (std::int64_t l = 0; l < model.config().layers; ++l) {
    if (number == layers.size() || layers[number] != l) {
      const Attend attend_here = [this](std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) { return attend(layer, q, k, v, {}); };
      x = recompute([&model, l, attend_here](const at::Tensor& x, const at::Tensor&, const at::Tensor&) { return model.layer(l, x, attend_here); }, x);
      continue;
    }
    const std::vector<Seen>& seen = memory[number++];
    // Keys and values are outputs too, so they stand outside of what is computed again.
    const at::Tensor input = model.attention_input(l, x), keys = model.heads(l, Projection::kKey, input), values = model.heads(l, Projection::kValue, input);
    if (is_memory) made.keys.push_back(keys), made.values.push_back(values);
    if (!pass && number == layers.size()) return made;
    x = recompute(
        [this, &model, &seen, l](const at::Tensor& x, const at::Tensor& keys, const at::Tensor& values) {
          const at::Tensor queries = model.heads(l, Projection::kQuery, model.attention_input(l, x));
          return model.finish(l, x, attend(l, queries, keys, values, seen));
        },
        x, keys, values);
  }
  if (pass) made.loss = scored_loss(model, *pass, model.final_norm(x.flatten(0, 1).index_select(0, pass->rows.to(x.device()))), tally_);
  return made;
}

void Crossbatch::keep(const CrossRows& rows, std::int64_t window, const Made& made) {
  const at::NoGradGuard no_gradients;
  const auto computed = trainee_.model.placement().computed, stored = scalar_type_of(settings_.memory.dtype);
  for (std::size_t n = 0; n < made.keys.size(); ++n) {
    const auto as_stored = [&](const at::Tensor& heads) { return heads.detach().to(stored).to(computed); };
    const at::Tensor keys = as_first(as_stored(made.keys[n])), values = as_stored(made.values[n]).transpose(1, 2);
    for (std::size_t row = 0; row < rows.documents.size(); ++row) {
      const std::int64_t count = length_of(rows.documents[row], window);
      const Kept to = kept_[n][rows.documents[row]].part(window * length_, count);
      const auto of_row = [&](const at::Tensor& all) { return all.narrow(0, static_cast<std::int64_t>(row), 1).narrow(2, 0, count); };
      to.keys.copy_(of_row(keys));
      to.values.copy_(of_row(values));
    }
  }
}

// The keys and values of a window with what later windows want of them; rows that end earlier are filled up with zeros.
void Crossbatch::add_cotangents(const CrossRows& rows, std::int64_t window, const Made& made, std::vector<at::Tensor>& outputs,
                                std::vector<at::Tensor>& seeds) const {
  for (std::size_t n = 0; n < made.keys.size(); ++n) {
    const auto seed = [&](const at::Tensor& output, at::Tensor Kept::*which) {
      const at::Tensor all = at::zeros(output.sizes(), output.options().requires_grad(false));
      for (std::size_t row = 0; row < rows.documents.size(); ++row) {
        const std::int64_t count = length_of(rows.documents[row], window);
        all.narrow(0, static_cast<std::int64_t>(row), 1).narrow(2, 0, count).copy_(kept_[n][rows.documents[row]].part(window * length_, count).*which);
      }
      outputs.push_back(output);
      seeds.push_back(all);
    };
    seed(as_first(made.keys[n]), &Kept::key_cotangents);
    seed(made.values[n].transpose(1, 2), &Kept::value_cotangents);
  }
}

// Sums two tensors of what is kept of a window over all processes: of keys and values one process has other than zeros.
void Crossbatch::share(std::int64_t window, at::Tensor Kept::*one, at::Tensor Kept::*other) {
  if (processes_.count() == 1) return;
  std::vector<at::Tensor> tensors;
  for (const std::vector<Kept>& layer : kept_)
    for (std::size_t document = 0; document < documents_.size(); ++document) {
      if (window >= read_[document]) continue;
      const Kept part = layer[document].part(window * length_, length_of(document, window));
      tensors.insert(tensors.end(), {part.*one, part.*other});
    }
  processes_.sum(tensors);
}

// All windows in their order. Where they are scored and gradients are recorded, each is run backward on its own.
double Crossbatch::forward(bool is_scored) {
  double total = 0;
  for (std::int64_t window = 0; window < windows_; ++window) {
    processes_.together([&] {
      const Ring ring = ring_at(window);
      for (const CrossRows& rows : rows_) {
        if (window >= static_cast<std::int64_t>(rows.plan.local.size())) continue;
        const Pass* pass = is_scored ? pass_of(rows, window) : nullptr;
        const bool is_memory = is_read(rows, window);
        if (!pass && !is_memory) continue;
        const at::AutoGradMode record(pass && at::GradMode::is_enabled());
        const Memory memory = memory_of(rows, window, ring, /*has_gradient=*/false);
        const Made made = read(rows, window, memory, pass, is_memory);
        if (pass) total += made.loss.item<double>();
        if (pass && made.loss.requires_grad()) backward({made.loss}, {at::ones_like(made.loss)});
        if (is_memory) keep(rows, window, made);  // not before: the graph has views of what is kept
      }
    });
    share(window, &Kept::keys, &Kept::values);
  }
  return total;
}

double Crossbatch::backward_through_memory() {
  double total = 0;
  for (std::int64_t window = windows_ - 1; window >= 0; --window) {
    share(window, &Kept::key_cotangents, &Kept::value_cotangents);  // all windows that see this one have sent theirs
    processes_.together([&] {
      const Ring ring = ring_at(window);
      for (const CrossRows& rows : rows_) {
        if (window >= static_cast<std::int64_t>(rows.plan.local.size())) continue;
        const Pass* pass = pass_of(rows, window);
        const bool is_memory = is_read(rows, window);
        if (!pass && !is_memory) continue;
        const Memory memory = memory_of(rows, window, ring, /*has_gradient=*/true);
        const Made made = read(rows, window, memory, pass, is_memory);
        std::vector<at::Tensor> outputs, seeds;
        if (pass) {
          total += made.loss.item<double>();
          outputs.push_back(made.loss), seeds.push_back(at::ones_like(made.loss));
        }
        add_cotangents(rows, window, made, outputs, seeds);
        backward(outputs, seeds);
        for (const auto& layer : memory)
          for (const Seen& seen : layer)
            for (const Kept& part : seen) {
              if (part.keys.grad().defined()) at::Tensor(part.key_cotangents).add_(part.keys.grad());
              if (part.values.grad().defined()) at::Tensor(part.value_cotangents).add_(part.values.grad());
            }
      }
      return_cotangents(ring, window);
    });
  }
  return total;
}

double Crossbatch::gradient(bool through_memory) {
  processes_.together([&] { begin(through_memory); });
  if (!through_memory) return forward(/*is_scored=*/true);
  {
    const at::NoGradGuard no_gradients;
    forward(/*is_scored=*/false);
  }
  return backward_through_memory();
}

double Crossbatch::loss() {
  const at::NoGradGuard no_gradients;
  processes_.together([&] { begin(/*has_cotangents=*/false); });
  return forward(/*is_scored=*/true);
}

// Room for what is kept; zeros, because what other processes keep is added.
void Crossbatch::begin(bool has_cotangents) {
  const ModelConfig& c = trainee_.model.config();
  const auto options = at::TensorOptions().dtype(trainee_.model.placement().residual()).device(trainee_.model.placement().device);
  kept_.assign(settings_.memory.layers.size(), {});
  for (std::vector<Kept>& layer : kept_)
    for (const CrossDocument& document : documents_) {
      const auto zeros = [&] { return at::zeros({1, c.kv_heads, document.length, c.head_size}, options); };
      layer.push_back({zeros(), zeros(), has_cotangents ? zeros() : at::Tensor(), has_cotangents ? zeros() : at::Tensor()});
    }
}

}  // namespace uio
