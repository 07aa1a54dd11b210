#include "memory/walk.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <deque>

#include "memory/context.h"
#include "memory/memory_tensor.h"

namespace uio {
namespace {

at::Tensor ids_of(const Walk& walk, std::int64_t begin, std::int64_t end) {
  return at::tensor(at::ArrayRef<std::int32_t>(walk.ids.data() + begin, static_cast<std::size_t>(end - begin)), at::kInt).to(at::kLong).unsqueeze(0);
}

// Memories of whole segments of the document, encoded several at a time as they are asked for.
class SegmentMemories {
 public:
  SegmentMemories(const MemoryMethod& method, const Walk& walk, std::int64_t count) : method_(method), walk_(walk), count_(count) {}

  // Memories must be asked for in order.
  KeysValues next() {
    if (ready_.empty()) {
      const std::int64_t length = method_.segment_length();
      const std::int64_t batch = std::min(count_ - encoded_, walk_.batch > 0 ? walk_.batch : std::max<std::int64_t>(1, 2 * kTokensAtOnce / length));
      const at::Tensor ids = ids_of(walk_, encoded_ * length, (encoded_ + batch) * length).view({batch, length});
      const KeysValues kv = kept(method_.encode(ids));
      for (std::int64_t row = 0; row < batch; ++row) ready_.push_back({kv.keys.narrow(0, row, 1), kv.values.narrow(0, row, 1)});
      encoded_ += batch;
    }
    KeysValues memory = ready_.front();
    ready_.pop_front();
    return memory;
  }

 private:
  // What the decoder reads of memories that were written to a blob.
  KeysValues kept(const at::Tensor& hidden) const {
    if (walk_.form == Form::kHidden) return method_.transfer(as_kept(hidden, Along::kChannel, walk_.precision));
    return as_kept(method_.transfer(hidden), walk_.precision);
  }

  const MemoryMethod& method_;
  const Walk& walk_;
  std::int64_t count_, encoded_ = 0;
  std::deque<KeysValues> ready_;
};

}  // namespace

void walk_slots(const Model& model, const MemoryMethod& method, const Walk& walk, const EmitRows& emit) {
  const std::int64_t n = static_cast<std::int64_t>(walk.ids.size()), length = method.segment_length(), slots = method.memory_length();
  if (n < 2) return;

  // Local passes [begin, end), each after the memories of all segments before `begin`.
  struct Pass {
    std::int64_t begin, end;
  };
  std::vector<Pass> passes;
  if (walk.has_context_only) {
    const std::int64_t whole = walk.first_target / length * length;
    // Without a remainder nothing raw stands before the first target: it is predicted as when walking, by the end of the last segment.
    if (whole == walk.first_target && whole > 0) passes.push_back({whole - length, whole});
    passes.push_back({whole, n - 1});
  } else {
    for (std::int64_t begin = 0; begin < n - 1; begin += length) passes.push_back({begin, std::min(begin + length, n - 1)});
  }
  const auto need = [&](std::int64_t positions) { check_capacity(model, positions, "memory' of '" + walk.document); };
  std::int64_t needed = 1;
  for (const Pass& p : passes) needed = std::max(needed, p.begin / length * slots + p.end - p.begin);
  if (!walk.drop_oldest) need(needed);
  else for (const Pass& p : passes) need(p.end - p.begin);

  DecoderContext context(model, std::min(needed, model.config().capacity()));
  SegmentMemories memories(method, walk, passes.back().begin / length);
  std::deque<KeysValues> kept;
  std::int64_t added = 0;
  for (const Pass& p : passes) {
    context.truncate(static_cast<std::int64_t>(kept.size()) * slots);
    for (; added < p.begin / length; ++added) {
      kept.push_back(memories.next());
      if (walk.drop_oldest && static_cast<std::int64_t>(kept.size()) * slots > context.capacity()) {
        kept.pop_front();
        context.truncate(0);
        for (std::size_t i = 0; i + 1 < kept.size(); ++i) context.add_memory(kept[i].keys, kept[i].values);
      }
      context.add_memory(kept.back().keys, kept.back().values);
    }
    if (context.length() + p.end - p.begin > context.capacity()) {  // only with drop_oldest: the oldest go
      context.truncate(0);
      while (static_cast<std::int64_t>(kept.size()) * slots + p.end - p.begin > context.capacity()) kept.pop_front();
      for (const KeysValues& memory : kept) context.add_memory(memory.keys, memory.values);
    }
    for (std::int64_t at = p.begin; at < p.end; at += kTokensAtOnce)
      emit(at, context.add_tokens(ids_of(walk, at, std::min(p.end, at + kTokensAtOnce))).squeeze(0));
  }
}

}  // namespace uio
