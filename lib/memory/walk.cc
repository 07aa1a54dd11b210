#include "memory/walk.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <deque>

#include "memory/context.h"
#include "memory/memory_tensor.h"

namespace uio {
namespace {

// Memories of whole segments of earlier documents and of the document, encoded several at a time as they are asked for.
class SegmentMemories {
 public:
  // `count`: how many of the document's own may be asked for.
  SegmentMemories(const MemoryMethod& method, const Walk& walk, std::int64_t count) : method_(method), walk_(walk) {
    for (const TokenSequence* tokens : walk.earlier) list(*tokens, tokens->size() / method.segment_length());
    earlier_ = static_cast<std::int64_t>(segments_.size());
    list(walk.tokens, count);
  }

  // Those of earlier documents.
  std::int64_t earlier() const { return earlier_; }
  // The tokens of a segment [1, L].
  at::Tensor ids(std::int64_t segment) const {
    const Place& place = segments_[static_cast<std::size_t>(segment)];
    return place.tokens->ids(place.begin, place.begin + method_.segment_length());
  }

  // Memories must be asked for in order.
  KeysValues next() {
    if (ready_.empty()) {
      const std::int64_t left = static_cast<std::int64_t>(segments_.size() - encoded_);
      const std::int64_t batch = std::min(left, walk_.batch > 0 ? walk_.batch : std::max<std::int64_t>(1, 2 * kTokensAtOnce / method_.segment_length()));
      std::vector<at::Tensor> rows;
      for (std::int64_t row = 0; row < batch; ++row, ++encoded_) rows.push_back(ids(static_cast<std::int64_t>(encoded_)));
      const KeysValues kv = kept(method_.encode(at::cat(rows)));
      for (std::int64_t row = 0; row < batch; ++row) ready_.push_back({kv.keys.narrow(0, row, 1), kv.values.narrow(0, row, 1)});
    }
    KeysValues memory = ready_.front();
    ready_.pop_front();
    return memory;
  }

 private:
  struct Place {
    const TokenSequence* tokens;
    std::int64_t begin;
  };
  void list(const TokenSequence& tokens, std::int64_t count) {
    for (std::int64_t s = 0; s < count; ++s) segments_.push_back({&tokens, s * method_.segment_length()});
  }

  // What the decoder reads of memories that were written to a blob.
  KeysValues kept(const at::Tensor& hidden) const {
    if (walk_.form == Form::kHidden) return method_.transfer(as_kept(hidden, Along::kChannel, walk_.precision));
    return as_kept(method_.transfer(hidden), walk_.precision);
  }

  const MemoryMethod& method_;
  const Walk& walk_;
  std::vector<Place> segments_;
  std::int64_t earlier_ = 0;
  std::size_t encoded_ = 0;
  std::deque<KeysValues> ready_;
};

// Local tokens [begin, end), which come after the memories of all segments before `begin`.
struct Pass {
  std::int64_t begin, end;
};

std::vector<Pass> passes_of(const Walk& walk, std::int64_t length) {
  const std::int64_t n = walk.tokens.size();
  std::vector<Pass> passes;
  if (walk.has_context_only) {
    const std::int64_t whole = walk.first_target / length * length;
    // Without a remainder nothing raw stands before the first target: it is predicted as when walking, by the end of the last segment.
    if (whole == walk.first_target && whole > 0) passes.push_back({whole - length, whole});
    passes.push_back({whole, n - 1});
  } else {
    for (std::int64_t begin = 0; begin < n - 1; begin += length) passes.push_back({begin, std::min(begin + length, n - 1)});
  }
  return passes;
}

class SlotWalk {
 public:
  SlotWalk(const Model& model, const MemoryMethod& method, const Walk& walk)
      : model_(model),
        walk_(walk),
        length_(method.segment_length()),
        slots_(method.memory_length()),
        passes_(passes_of(walk, length_)),
        memories_(method, walk, passes_.back().begin / length_),
        context_(model, std::min(positions(), model.config().capacity())) {}

  void run(const EmitRows& emit) {
    for (const Pass& pass : passes_) {
      remember(pass);
      if (walk_.retrieve > 0) retrieve(pass);
      for (std::int64_t at = pass.begin; at < pass.end; at += kTokensAtOnce)
        emit(at, context_.add_tokens(walk_.tokens.ids(at, std::min(pass.end, at + kTokensAtOnce))).squeeze(0));
    }
  }

 private:
  // Memories that a pass sees.
  std::int64_t before(const Pass& pass) const { return memories_.earlier() + pass.begin / length_; }
  // Raw tokens that a pass wants room for beside the memories.
  std::int64_t raw(const Pass& pass) const { return std::min(walk_.retrieve, candidates(pass)) * length_ + pass.end - pass.begin; }
  // The positions that are needed. Throws where the model has not so many.
  std::int64_t positions() const {
    const auto need = [&](std::int64_t count) { check_capacity(model_, count, walk_.context + std::string("' of '") + walk_.document); };
    std::int64_t needed = 1;
    for (const Pass& pass : passes_) needed = std::max(needed, before(pass) * slots_ + raw(pass));
    if (!walk_.drop_oldest) need(needed);
    else for (const Pass& pass : passes_) need(raw(pass));
    return needed;
  }

  // The query: the L tokens before the targets of a pass, which must not have a say in what is retrieved for them.
  std::int64_t query_end(const Pass& pass) const { return walk_.has_context_only ? std::max(pass.begin, walk_.first_target) : pass.begin; }
  std::int64_t query_begin(const Pass& pass) const { return std::max<std::int64_t>(0, query_end(pass) - length_); }
  // Segments before the query, of which some may be retrieved.
  std::int64_t candidates(const Pass& pass) const { return memories_.earlier() + query_begin(pass) / length_; }

  // Puts the memories of all segments before the pass, and nothing else, into the context.
  void remember(const Pass& pass) {
    const auto used = [&] { return static_cast<std::int64_t>(kept_.size()) * slots_; };
    if (held_ == used()) context_.truncate(held_);
    else hold(kept_.size());
    for (; added_ < before(pass); ++added_) {
      kept_.push_back(memories_.next());
      if (walk_.drop_oldest && used() > context_.capacity()) {
        kept_.pop_front();
        hold(kept_.size() - 1);
      }
      context_.add_memory(kept_.back().keys, kept_.back().values);
      held_ = context_.length();
    }
    if (held_ + raw(pass) > context_.capacity()) {  // only with drop_oldest: the oldest go
      while (used() + raw(pass) > context_.capacity()) kept_.pop_front();
      hold(kept_.size());
    }
  }

  // The context anew, of the first `count` of the memories that are kept.
  void hold(std::size_t count) {
    context_.truncate(0);
    for (std::size_t i = 0; i < count; ++i) context_.add_memory(kept_[i].keys, kept_[i].values);
    held_ = context_.length();
  }

  // Behind the memories, or in their place, the candidates nearest to the query, in the order of the text.
  void retrieve(const Pass& pass) {
    const std::int64_t first = added_ - static_cast<std::int64_t>(kept_.size());  // older ones have gone
    std::vector<MemoryRange> ranges;
    for (std::int64_t i = first; i < candidates(pass); ++i) ranges.push_back({(i - first) * slots_, slots_});
    MemoryMass mass(std::move(ranges));
    if (first < candidates(pass)) {
      context_.watch(&mass);
      context_.add_tokens(walk_.tokens.ids(query_begin(pass), query_end(pass)));
      context_.watch(nullptr);
      context_.truncate(held_);
    }
    if (!walk_.has_memories) {
      context_.truncate(0);
      held_ = 0;
    }
    for (const std::size_t i : mass.largest(walk_.retrieve)) {
      const at::Tensor ids = memories_.ids(first + static_cast<std::int64_t>(i));
      for (std::int64_t at = 0; at < length_; at += kTokensAtOnce) context_.add_tokens(ids.narrow(1, at, std::min(kTokensAtOnce, length_ - at)));
    }
  }

  const Model& model_;
  const Walk& walk_;
  std::int64_t length_, slots_;
  std::vector<Pass> passes_;
  SegmentMemories memories_;
  DecoderContext context_;
  std::deque<KeysValues> kept_;        // of the segments before the pass, but those that have gone
  std::int64_t added_ = 0, held_ = 0;  // segments whose memories were made; positions of memories in the context
};

}  // namespace

void walk_slots(const Model& model, const MemoryMethod& method, const Walk& walk, const EmitRows& emit) {
  if (walk.tokens.size() >= 2) SlotWalk(model, method, walk).run(emit);
}

}  // namespace uio
