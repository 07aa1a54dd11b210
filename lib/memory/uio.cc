// UIO (arXiv 2406.18173): segments are encoded alone, M memory slots behind the segment's tokens; the memory is what enters
// each layer's attention at the slots; a LoRA transfer head turns it into the decoder's keys and values.
#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "kernels/attention.h"
#include "memory/method.h"
#include "memory/slot_session.h"
#include "memory/uio_cost.h"
#include "model/recompute.h"
#include "model/rope.h"
#include "model/tensor.h"

namespace uio {
namespace {

using kernels::AttentionPart;
using kernels::Visible;

class Uio : public MemoryMethod, private CompressionCost {
 public:
  Uio(const Model& model, Adapter adapter)
      : model_(model),
        adapter_(std::move(adapter)),
        rope_(model.config(), std::max(adapter_.slot_position(memory_length() - 1) + 1, segment_length()), model.placement().computed,
              model.placement().device) {
    whole_ = slots_of(segment_length());
  }

  const Adapter& adapter() const override { return adapter_; }

  at::Tensor encode(const at::Tensor& ids, std::span<const at::Tensor>) const override {
    const std::int64_t batch = ids.size(0), tokens = ids.size(1), slots = memory_length(), layers = model_.config().layers;
    if (tokens < 1 || tokens > segment_length())
      throw Error(ErrorKind::kInternal, "segment of another length", "", std::to_string(tokens) + " tokens, from 1 to " + std::to_string(segment_length()) + " fit");
    const Slots seen = tokens == segment_length() ? whole_ : slots_of(tokens);
    const at::Tensor rows = adapter_.memory_tokens.expand({slots, -1}).unsqueeze(0).expand({batch, -1, -1});
    at::Tensor x = at::cat({model_.embed(ids), rows}, 1);  // [B, n+M, D]
    std::vector<at::Tensor> memory;
    for (std::int64_t l = 0; l < layers; ++l) {
      const at::Tensor input = model_.attention_input(l, x);
      const at::Tensor left = input.narrow(1, input.size(1) - slots, slots);
      memory.push_back(left.requires_grad() ? left : left.clone());  // a view would keep all rows of every layer
      // What the last layer would compute is read by nobody, and of the layer before it only the slots' rows are.
      if (l < layers - 1)
        x = recompute([this, l, layers, seen](const at::Tensor& x, const at::Tensor& input,
                                              const at::Tensor&) { return layer(l, x, input, seen, l == layers - 2); },
                      x, input);
    }
    return at::stack(memory, 1).to(model_.placement().stored);
  }

  KeysValues transfer(const at::Tensor& hidden) const override {
    std::vector<at::Tensor> keys, values;
    const std::vector<at::Tensor> layers = hidden.unbind(1);  // one backward step for all, where select would have one each
    for (std::int64_t l = 0; l < model_.config().layers; ++l) {
      const LayerLora& lora = adapter_.transfer[static_cast<std::size_t>(l)];
      const at::Tensor rows = layers[static_cast<std::size_t>(l)].to(model_.placement().computed).contiguous();  // [B, M, D]
      keys.push_back(model_.heads(l, Projection::kKey, rows, &lora[static_cast<int>(Projection::kKey)]).transpose(1, 2));
      values.push_back(model_.heads(l, Projection::kValue, rows, &lora[static_cast<int>(Projection::kValue)]).transpose(1, 2));
    }
    const auto stored = model_.placement().stored;
    return {at::stack(keys, 1).to(stored), at::stack(values, 1).to(stored)};
  }

  void describe(Memory& memory) const override {
    const ModelConfig& c = model_.config();
    const bool is_kv = memory.form == Form::kKv;
    memory.positions = name_of(adapter_.config.positions);
    memory.dtype = dtype_of(model_.placement().stored);
    memory.layers = static_cast<std::uint32_t>(c.layers);
    memory.kv_heads = is_kv ? static_cast<std::uint32_t>(c.kv_heads) : 1;
    memory.head_size = static_cast<std::uint32_t>(is_kv ? c.head_size : c.hidden_size);
    memory.memory_length = adapter_.config.memory_length;
  }

  std::unique_ptr<TokenContext> make_context(std::int64_t positions) const override { return std::make_unique<DecoderContext>(model_, positions); }
  std::unique_ptr<DecoderSession> make_session(std::int64_t expected, bool drop_oldest) const override {
    return std::make_unique<SlotSession>(model_, this, expected, drop_oldest);
  }
  void walk(const Walk& walk, const EmitRows& emit) const override { walk_slots(model_, *this, walk, emit); }

  const CompressionCost* cost() const override { return this; }
  double segment_flops(std::int64_t tokens, Form form) const override { return uio_flops(model_.config(), adapter_, tokens, form); }
  void rehearse(std::int64_t batch, std::int64_t tokens, Form form) const override {
    uio_rehearse(model_.config(), adapter_.config, model_.placement(), batch, tokens, form);
  }
  bool reads_weight(const std::string& name, Form form) const override { return uio_reads(model_.config(), name, form); }

 private:
  // Where the slots of a segment of n tokens stand, and what they see.
  struct Slots {
    at::Tensor positions;                // [M] int64
    at::Tensor sees_tokens, sees_slots;  // [M, n], [M, M] bool: the mask is the method's own, a base's sliding window does not narrow it
  };

  Slots slots_of(std::int64_t tokens) const {
    std::vector<std::int64_t> positions, covers;
    for (std::int64_t slot = 0; slot < memory_length(); ++slot) {
      positions.push_back(adapter_.slot_position(slot, tokens));
      covers.push_back(adapter_.slot_cover(slot, tokens));
    }
    const auto device = model_.placement().device;
    const at::Tensor cover = at::tensor(covers).to(device);
    const at::Tensor token = at::arange(tokens, cover.options()), slot = at::arange(memory_length(), cover.options());
    return {at::tensor(positions).to(device), token.unsqueeze(0).lt(cover.unsqueeze(1)),
            adapter_.config.mask == SlotRule::kStaged ? slot.unsqueeze(1).eq(slot.unsqueeze(0)) : slot.unsqueeze(1).ge(slot.unsqueeze(0))};
  }

  // One encoder layer; with `slots_only` the rows of the tokens, which nobody reads any more, are neither attended for nor fed on.
  at::Tensor layer(std::int64_t l, const at::Tensor& x, const at::Tensor& input, const Slots& seen, bool slots_only) const {
    const std::int64_t slots = memory_length(), tokens = input.size(1) - slots;
    const LayerLora& lora = adapter_.encoder[static_cast<std::size_t>(l)];
    const double scale = model_.config().score_scale();
    const at::Tensor asking = slots_only ? input.narrow(1, tokens, slots) : input;
    const at::Tensor q = model_.heads(l, Projection::kQuery, asking, &lora[static_cast<int>(Projection::kQuery)]).transpose(1, 2);
    const at::Tensor k = model_.heads(l, Projection::kKey, input, &lora[static_cast<int>(Projection::kKey)]).transpose(1, 2);
    const at::Tensor v = model_.heads(l, Projection::kValue, input, &lora[static_cast<int>(Projection::kValue)]).transpose(1, 2);

    const at::Tensor token_keys = rope_.rotate(k.narrow(2, 0, tokens), 0), token_values = v.narrow(2, 0, tokens);
    const at::Tensor slot_keys = rope_.rotate(k.narrow(2, tokens, slots), seen.positions), slot_values = v.narrow(2, tokens, slots);
    const at::Tensor slot_queries = rope_.rotate(q.narrow(2, slots_only ? 0 : tokens, slots), seen.positions);
    const AttentionPart to_tokens{slot_queries, token_keys, token_values, Visible::kMask, seen.sees_tokens};
    const AttentionPart to_slots{slot_queries, slot_keys, slot_values, Visible::kMask, seen.sees_slots};
    const AttentionPart slot_parts[] = {to_tokens, to_slots};
    at::Tensor attended = kernels::attention(slot_parts, scale).transpose(1, 2).flatten(2);  // [B, M, H·d]
    if (!slots_only) {
      const AttentionPart own[] = {{rope_.rotate(q.narrow(2, 0, tokens), 0), token_keys, token_values, Visible::kCausal, {}}};
      attended = at::cat({kernels::attention(own, scale).transpose(1, 2).flatten(2), attended}, 1);
    }
    return model_.finish(l, slots_only ? x.narrow(1, tokens, slots) : x, attended, &lora);
  }

  const Model& model_;
  Adapter adapter_;
  RopeTable rope_;
  Slots whole_;  // of L tokens
};

}  // namespace

std::unique_ptr<MemoryMethod> make_uio(const Model& model, Adapter adapter) { return std::make_unique<Uio>(model, std::move(adapter)); }

}  // namespace uio
