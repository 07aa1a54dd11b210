#include "memory/uio_cost.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "kernels/many_rows.h"
#include "kernels/policy.h"

namespace uio {
namespace {

bool is_key_or_value(Projection p) { return p == Projection::kKey || p == Projection::kValue; }

// Uio::encode and transfer, with Model's and the kernels' parts in them, as nothing but their tensors: what is alive when, and what is
// let go in what order, decides how large the heap becomes.
class Rehearsal {
 public:
  Rehearsal(const ModelConfig& c, const AdapterConfig& adapter, const Placement& placement, std::int64_t batch, std::int64_t tokens)
      : c_(c),
        adapter_(adapter),
        placement_(placement),
        batch_(batch),
        tokens_(tokens),
        slots_(adapter.memory_length),
        is_plain_(kernels::is_reference_forced() || (placement.computed != at::kFloat && placement.computed != at::kBFloat16)) {}

  void run(Form form) {
    const at::Tensor hidden = encode();
    if (form == Form::kKv) transfer();
  }

 private:
  at::Tensor rows(std::int64_t count, std::int64_t width, at::ScalarType dtype) const { return at::empty({batch_, count, width}, dtype); }
  at::Tensor computed(std::int64_t count, std::int64_t width) const { return rows(count, width, placement_.computed); }

  at::Tensor encode() {
    const std::int64_t all = tokens_ + slots_, d = c_.hidden_size;
    at::Tensor x = embed();
    std::vector<at::Tensor> memory;
    for (std::int64_t l = 0; l < c_.layers; ++l) {
      const at::Tensor input = norm(all);
      memory.push_back(computed(slots_, d));
      if (l < c_.layers - 1) x = layer(l == c_.layers - 2);
    }
    return stored(computed(c_.layers * slots_, d));
  }

  at::Tensor embed() const {
    at::Tensor found = rows(tokens_, c_.hidden_size, placement_.stored);
    if (placement_.stored != placement_.residual()) found = rows(tokens_, c_.hidden_size, placement_.residual());
    return rows(tokens_ + slots_, c_.hidden_size, placement_.residual());
  }

  at::Tensor norm(std::int64_t count) const {
    if (!is_plain_) return computed(count, c_.hidden_size);
    const at::Tensor scaled = rows(count, c_.hidden_size, placement_.residual());
    return rows(count, c_.hidden_size, placement_.residual()).to(placement_.computed);
  }

  at::Tensor project(std::int64_t count, Projection p, const std::vector<Projection>& adapted) {
    const ProjectionSize size = size_of(c_, p);
    at::Tensor plain;
    if (placement_.stored != placement_.computed && is_plain_) plain = at::empty({size.weights()}, placement_.computed);
    else if (placement_.stored != placement_.computed && !kernels::has_many_rows() && (!widened_.defined() || widened_.numel() < size.weights())) widened_ = at::empty({size.weights()}, at::kFloat);
    const at::Tensor out = computed(count, size.out);
    if (adapter_.lora_rank > 0 && std::ranges::count(adapted, p) > 0) computed(count, adapter_.lora_rank);
    return out;
  }
  at::Tensor project(std::int64_t count, Projection p) { return project(count, p, adapter_.encoder_targets); }

  at::Tensor layer(bool slots_only) {
    const std::int64_t all = tokens_ + slots_, asking = slots_only ? slots_ : all, q = c_.heads * c_.head_size, kv = c_.kv_heads * c_.head_size;
    const at::Tensor queries = project(asking, Projection::kQuery), keys = project(all, Projection::kKey), values = project(all, Projection::kValue);
    const at::Tensor token_keys = computed(tokens_, kv), slot_keys = computed(slots_, kv), slot_queries = computed(slots_, q);
    at::Tensor attended = attend(slots_, all);
    if (!slots_only) {
      const at::Tensor turned = computed(tokens_, q), found = attend(tokens_, tokens_);
      attended = computed(all, q);
    }
    return finish(asking);
  }

  at::Tensor attend(std::int64_t asking, std::int64_t seen) const {
    if (is_plain_) {  // all scores, and their softmax
      const at::Tensor masked = rows(c_.heads * asking, seen, placement_.residual()), joined = rows(c_.heads * asking, seen, placement_.residual());
      rows(c_.heads * asking, seen, placement_.residual());
    }
    return computed(asking, c_.heads * c_.head_size);
  }

  at::Tensor finish(std::int64_t asking) {
    at::Tensor output = project(asking, Projection::kOutput);
    const at::Tensor middle = rows(asking, c_.hidden_size, placement_.residual());
    output.reset();
    const at::Tensor input = norm(asking), gate = project(asking, Projection::kGate), up = project(asking, Projection::kUp);
    if (is_plain_) {
      const at::Tensor opened = computed(asking, c_.intermediate_size), product = computed(asking, c_.intermediate_size);
      project(asking, Projection::kDown);
    } else {
      project(asking, Projection::kDown);
    }
    return middle;
  }

  at::Tensor stored(const at::Tensor& joined) const {
    return placement_.stored == joined.scalar_type() ? joined : at::empty(joined.sizes(), placement_.stored);
  }

  void transfer() {
    std::vector<at::Tensor> keys, values;
    for (std::int64_t l = 0; l < c_.layers; ++l) {
      const at::Tensor input = computed(slots_, c_.hidden_size);
      keys.push_back(project(slots_, Projection::kKey, adapter_.transfer_targets));
      values.push_back(project(slots_, Projection::kValue, adapter_.transfer_targets));
    }
    const std::int64_t kv = c_.kv_heads * c_.head_size;
    const at::Tensor all_keys = computed(c_.layers * slots_, kv), kept_keys = stored(all_keys);
    const at::Tensor all_values = computed(c_.layers * slots_, kv), kept_values = stored(all_values);
    at::empty_like(kept_keys), at::empty_like(kept_values);  // the records' own
  }

  const ModelConfig& c_;
  const AdapterConfig& adapter_;
  const Placement& placement_;
  std::int64_t batch_, tokens_, slots_;
  bool is_plain_;
  at::Tensor widened_;  // a weight for a product, kept from one to the next, where it is widened as a whole
};

}  // namespace

double uio_flops(const ModelConfig& c, const Adapter& adapter, std::int64_t tokens, Form form) {
  const AdapterConfig& a = adapter.config;
  const std::int64_t slots = a.memory_length;
  const auto product = [&](std::int64_t rows, Projection p, const std::vector<Projection>& adapted) {
    const ProjectionSize size = size_of(c, p);
    const std::int64_t pair = std::ranges::count(adapted, p) > 0 ? a.lora_rank * (size.in + size.out) : 0;
    return 2 * static_cast<double>(rows) * static_cast<double>(size.weights() + pair);
  };
  // Pairs of a query and a key that it sees: of the tokens, and of the slots.
  double slot_pairs = 0;
  for (std::int64_t slot = 0; slot < slots; ++slot)
    slot_pairs += static_cast<double>(adapter.slot_cover(slot, tokens) + (a.mask == SlotRule::kStaged ? 1 : slot + 1));
  const double token_pairs = static_cast<double>(tokens * (tokens + 1) / 2), pair = 4 * static_cast<double>(c.heads * c.head_size);

  double total = 0;
  for (std::int64_t l = 0; l < c.layers - 1; ++l) {
    const bool slots_only = l == c.layers - 2;
    for (int p = 0; p < kProjections; ++p) {
      const auto projection = static_cast<Projection>(p);
      const bool is_of_all = !slots_only || is_key_or_value(projection);
      total += product(is_of_all ? tokens + slots : slots, projection, a.encoder_targets);
    }
    total += pair * (slot_pairs + (slots_only ? 0 : token_pairs));
  }
  if (form == Form::kKv)
    for (const Projection p : {Projection::kKey, Projection::kValue}) total += static_cast<double>(c.layers) * product(slots, p, a.transfer_targets);
  return total;
}

void uio_rehearse(const ModelConfig& model, const AdapterConfig& adapter, const Placement& placement, std::int64_t batch, std::int64_t tokens, Form form) {
  Rehearsal(model, adapter, placement, batch, tokens).run(form);
}

bool uio_reads(const ModelConfig& c, const std::string& weight, Form form) {
  constexpr std::string_view kLayers = "model.layers.";
  if (!weight.starts_with(kLayers)) return weight == "model.embed_tokens.weight";
  const std::int64_t layer = std::stoll(weight.substr(kLayers.size()));
  const bool is_transferred = form == Form::kKv && (weight.find(".k_proj.") != std::string::npos || weight.find(".v_proj.") != std::string::npos ||
                                                    weight.find(".k_norm.") != std::string::npos);
  return layer < c.layers - 1 || is_transferred || weight.find(".input_layernorm.") != std::string::npos;
}

}  // namespace uio
