// FoT (arXiv 2307.03170) as the released LongLLaMA does it: a document but for its tail goes through in windows, and the raw keys and values of each
// window in the memory layers are its memory, which the windows after it see in these layers.
#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "memory/blob.h"
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
  // What goes through for its memory alone is not seen in the last of the memory layers: a single one reads no earlier memory.
  bool is_recurrent() const override { return settings().memory.layers.size() > 1; }
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
    context.read(ids);
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

  bool takes_memory_before() const override { return true; }
  void walk(const Walk& walk, const EmitRows& emit) const override {
    if (walk.retrieve > 0) refuse_retrieval();
    const std::int64_t n = walk.tokens.size();
    const bool is_changed = walk.precision != Precision::kExact;
    // What windows become, and what is read of it where keeping changes that.
    WindowSettings settings = this->settings();
    settings.search.by_index = settings.search.by_index && !walk.searches_exactly;
    WindowContext exact(model_, settings, segment_length()), kept(model_, settings, segment_length());
    for (WindowContext* context : {&exact, &kept}) {
      if (walk.before) read_before(*context, *walk.before);
      context->measure(walk.tally);
    }
    WindowContext& reader = is_changed ? kept : exact;
    const auto predict = [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t at = begin; at < end; at += kTokensAtOnce)
        emit(at, reader.add_tokens(walk.tokens.ids(at, std::min(end, at + kTokensAtOnce))).squeeze(0));
    };
    Memory kept_as;
    kept_as.form = walk.form;
    describe(kept_as);  // refuses forms that there are not
    // The local window becomes memory, as it is and as it is kept.
    const auto move = [&] {
      const KeysValues kv = exact.window();
      exact.clear();
      exact.add_memory(kv.keys, kv.values);
      if (!is_changed) return;
      kept.clear();
      const KeysValues again = as_kept(kv, walk.precision);
      kept.add_memory(again.keys, again.values);
    };
    const std::int64_t prefix = std::max<std::int64_t>(0, n - settings.tail), length = segment_length();
    for (const TokenSequence* tokens : walk.earlier) {  // as a document that has ended: its tail has become memory, too
      const std::int64_t size = tokens->size(), before_tail = std::max<std::int64_t>(0, size - settings.tail);
      for (std::int64_t begin = 0, end = 0; begin < size; begin = end) {
        end = std::min(begin + length, begin < before_tail ? before_tail : size);
        exact.read(tokens->ids(begin, end));
        move();
      }
    }
    // Windows that neither see each other nor are predicted go side by side.
    const std::int64_t side_by_side = is_recurrent() || is_changed ? 1 : std::max<std::int64_t>(1, kTokensAtOnce / length), stretch = side_by_side * length;
    WindowContext wide(model_, settings, length, side_by_side);
    std::int64_t begin = 0;
    for (; side_by_side > 1 && begin + stretch <= prefix && begin + stretch < walk.first_target; begin += stretch) {
      wide.read(walk.tokens.ids(begin, begin + stretch).view({side_by_side, length}));
      const KeysValues kv = wide.window();
      wide.clear();
      exact.add_memory(in_a_row(kv.keys), in_a_row(kv.values));
    }
    for (; begin < prefix; begin += length) {
      const std::int64_t end = std::min(prefix, begin + length);
      const bool has_targets = end >= walk.first_target;
      if (has_targets) predict(begin, end);
      if (!has_targets || is_changed) exact.read(walk.tokens.ids(begin, end));
      move();
    }
    predict(prefix, n - 1);
  }

 private:
  // A blob whose documents have ended: their tails are memory too.
  void read_before(WindowContext& context, const Blob& blob) const {
    for_each_memory(blob, [&](const KeysValues& kv) { context.add_memory(kv.keys, kv.values); },
                    [&](const std::shared_ptr<const StoredMemory>& stored, std::int64_t count) { context.add_stored(stored, count); },
                    [&](const Segment& segment) {
                      if (segment.tokens.empty()) return;
                      if (static_cast<std::int64_t>(segment.tokens.size()) > segment_length())
                        throw Error(ErrorKind::kMismatch, "segment longer than the window", segment.span.document,
                                    std::to_string(segment.tokens.size()) + " tokens, the window has " + std::to_string(segment_length()));
                      context.read(at::tensor(segment.tokens, at::kInt).to(at::kLong).unsqueeze(0));
                      const KeysValues kv = context.window();
                      context.clear();
                      context.add_memory(kv.keys, kv.values);
                    });
  }

  // Windows side by side [B, N, G, T, d] as one behind the other, [1, N, G, B·T, d].
  static at::Tensor in_a_row(const at::Tensor& windows) { return windows.permute({1, 2, 0, 3, 4}).flatten(2, 3).unsqueeze(0); }

  const WindowSettings& settings() const { return adapter_.window; }

  const Model& model_;
  Adapter adapter_;
};

}  // namespace

std::unique_ptr<MemoryMethod> make_fot(const Model& model, Adapter adapter) { return std::make_unique<Fot>(model, std::move(adapter)); }

}  // namespace uio
