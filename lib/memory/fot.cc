// FoT (arXiv 2307.03170) as the released LongLLaMA does it: a document but for its tail goes through in windows, and the raw keys and values of each
// window in the memory layers are its memory, which the windows after it see in these layers.
#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "memory/memory_tensor.h"
#include "memory/method.h"
#include "memory/window_context.h"
#include "memory/window_session.h"

namespace uio {
namespace {

class Fot : public MemoryMethod {
 public:
  Fot(const Model& model, Adapter adapter) : model_(model), adapter_(std::move(adapter)) {}

  const Adapter& adapter() const override { return adapter_; }
  bool is_recurrent() const override { return true; }
  Cutting cutting() const override { return {adapter_.config.segment_length, Boundaries::kFixed, settings().tail}; }
  bool is_whole(const Segment& segment) const override { return is_window(segment); }

  void describe(Memory& memory) const override {
    if (memory.form != Form::kKv) throw Error(ErrorKind::kMismatch, "form of memories not supported", name_of(memory.form), "method fot has raw keys and values: kv");
    const ModelConfig& c = model_.config();
    memory.positions = settings().memory.has_positions ? "first" : "none";
    memory.dtype = settings().memory.dtype;
    memory.layers = static_cast<std::uint32_t>(settings().memory.layers.size());
    memory.kv_heads = static_cast<std::uint32_t>(c.kv_heads);
    memory.head_size = static_cast<std::uint32_t>(c.head_size);
    memory.memory_length = memory.token_count;
  }

  // Keys and values side by side: [B, N, T, 2·G·d] in the dtype of memories.
  at::Tensor encode(const at::Tensor& ids, std::span<const at::Tensor> earlier) const override {
    WindowContext context(model_, settings(), segment_length(), ids.size(0));
    for (const at::Tensor& hidden : earlier) {
      const KeysValues kv = transfer(hidden);
      context.add_memory(kv.keys, kv.values);
    }
    read(context, ids);
    const KeysValues kv = context.window();
    return at::cat({kv.keys.transpose(2, 3).flatten(3), kv.values.transpose(2, 3).flatten(3)}, 3);
  }

  KeysValues transfer(const at::Tensor& hidden) const override {
    const std::int64_t size = model_.config().head_size, half = model_.config().kv_heads * size;
    const auto heads = [&](std::int64_t begin) { return hidden.narrow(3, begin, half).unflatten(3, {-1, size}).transpose(2, 3).contiguous(); };
    return {heads(0), heads(half)};
  }

  std::unique_ptr<TokenContext> make_context(std::int64_t) const override { return std::make_unique<WindowContext>(model_, settings(), segment_length()); }
  std::unique_ptr<DecoderSession> make_session(std::int64_t, bool) const override { return std::make_unique<WindowSession>(model_, settings(), segment_length()); }

  void walk(const Walk& walk, const EmitRows& emit) const override {
    const auto n = static_cast<std::int64_t>(walk.ids.size());
    const at::Tensor ids = at::tensor(at::ArrayRef<std::int32_t>(walk.ids.data(), walk.ids.size()), at::kInt).to(at::kLong).unsqueeze(0);
    const bool is_changed = walk.precision != Precision::kExact;
    // What windows become, and what is read of it where keeping changes that.
    WindowContext exact(model_, settings(), segment_length()), kept(model_, settings(), segment_length());
    WindowContext& reader = is_changed ? kept : exact;
    const auto predict = [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t at = begin; at < end; at += kTokensAtOnce)
        emit(at, reader.add_tokens(ids.narrow(1, at, std::min(kTokensAtOnce, end - at))).squeeze(0));
    };
    Memory kept_as;
    kept_as.form = walk.form;
    describe(kept_as);  // refuses forms that there are not
    const std::int64_t prefix = std::max<std::int64_t>(0, n - settings().tail), length = segment_length();
    for (std::int64_t begin = 0; begin < prefix; begin += length) {
      const std::int64_t end = std::min(prefix, begin + length);
      const bool has_targets = end >= walk.first_target;
      if (has_targets) predict(begin, end);
      if (!has_targets || is_changed) read(exact, ids.narrow(1, begin, end - begin));
      const KeysValues kv = exact.window();
      exact.clear();
      exact.add_memory(kv.keys, kv.values);
      if (!is_changed) continue;
      kept.clear();
      const KeysValues again = as_kept(kv, walk.precision);
      kept.add_memory(again.keys, again.values);
    }
    predict(prefix, n - 1);
  }

 private:
  const WindowSettings& settings() const { return adapter_.window; }

  static void read(WindowContext& context, const at::Tensor& ids) {
    for (std::int64_t at = 0; at < ids.size(1); at += kTokensAtOnce) context.read(ids.narrow(1, at, std::min(kTokensAtOnce, ids.size(1) - at)));
  }

  const Model& model_;
  Adapter adapter_;
};

}  // namespace

std::unique_ptr<MemoryMethod> make_fot(const Model& model, Adapter adapter) { return std::make_unique<Fot>(model, std::move(adapter)); }

}  // namespace uio
