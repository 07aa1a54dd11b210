#include "memory/slot_session.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace uio {

SlotSession::SlotSession(const Model& model, const MemoryMethod* method, std::int64_t expected, bool drop_oldest)
    : model_(model),
      method_(method),
      drop_oldest_(drop_oldest),
      // Only dynamic scaling makes the frequencies depend on the length; otherwise all positions may be used as they come.
      context_(model, model.config().rope.kind == RopeKind::kDynamic ? std::min(expected, model.config().capacity()) : model.config().capacity()) {}

std::int64_t SlotSession::memories() const {
  return std::count_if(entries_.begin(), entries_.end(), [](const Entry& entry) { return std::holds_alternative<KeysValues>(entry); });
}

void SlotSession::add_memory(KeysValues memory) {
  if (!local_.empty()) throw Error(ErrorKind::kInternal, "memory after local text", "", "");
  const std::int64_t count = memory.keys.size(3);
  if (drop_oldest_) {
    // Room is kept for the local text to become a whole segment, as far as the model has that much.
    const std::int64_t reserve = method_ ? std::min(method_->segment_length(), std::max<std::int64_t>(1, context_.capacity() - count)) : 1;
    make_room(count + reserve);
  } else if (context_.length() + count > context_.capacity()) {
    throw Error(ErrorKind::kMismatch, "more memories than the model's positions hold", model_.directory(),
                std::to_string(memories() + 1) + " memories of " + std::to_string(count) + " need " + std::to_string(context_.length() + count) +
                    " positions, there are " + std::to_string(context_.capacity()),
                "--overflow oldest lets the oldest go");
  }
  context_.add_memory(memory.keys, memory.values);
  entries_.emplace_back(std::move(memory));
  local_begin_ = context_.length();
}

void SlotSession::end_document() {
  if (local_.empty()) return;
  entries_.emplace_back(std::move(local_));
  local_.clear();
  local_begin_ = context_.length();
}

at::Tensor SlotSession::add_segment(const Segment& segment) {
  const at::Tensor last = add_tokens(segment.tokens);
  if (segment.is_closed) close_segment();
  return last;
}

void SlotSession::close_segment() {
  if (method_ && !local_.empty()) compress_local();
}

// Drops the oldest entries until `tokens` more positions are free.
void SlotSession::make_room(std::int64_t tokens) {
  if (context_.length() + tokens <= context_.capacity()) return;
  std::int64_t length = context_.length();
  std::size_t gone = 0;
  while (gone < entries_.size() && length + tokens > context_.capacity()) {
    const Entry& entry = entries_[gone++];
    length -= std::holds_alternative<KeysValues>(entry) ? std::get<KeysValues>(entry).keys.size(3)
                                                        : static_cast<std::int64_t>(std::get<std::vector<std::int32_t>>(entry).size());
  }
  if (gone == 0) return;
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(gone));
  rebuild();
}

void SlotSession::rebuild() {
  context_.truncate(0);
  for (const Entry& entry : entries_) {
    if (const auto* memory = std::get_if<KeysValues>(&entry)) {
      context_.add_memory(memory->keys, memory->values);
    } else {
      const auto& tokens = std::get<std::vector<std::int32_t>>(entry);
      context_.add_tokens(ids_of(tokens.data(), static_cast<std::int64_t>(tokens.size())));
    }
  }
  local_begin_ = context_.length();
  if (!local_.empty()) context_.add_tokens(ids_of(local_.data(), static_cast<std::int64_t>(local_.size())));
}

at::Tensor SlotSession::add_tokens(const std::vector<std::int32_t>& tokens) {
  at::Tensor last;
  const std::int64_t total = static_cast<std::int64_t>(tokens.size());
  const std::int64_t segment = method_ ? method_->segment_length() : 0;
  for (std::int64_t done = 0; done < total;) {
    std::int64_t count = std::min(kTokensAtOnce, total - done);
    if (method_) count = std::min(count, segment - static_cast<std::int64_t>(local_.size()));
    prepare(count);
    const at::Tensor x = context_.add_tokens(ids_of(tokens.data() + done, count));
    last = x.select(1, count - 1);
    local_.insert(local_.end(), tokens.begin() + done, tokens.begin() + done + count);
    done += count;
    settle();
  }
  return last;
}

void SlotSession::prepare(std::int64_t count) {
  // A segment that begins with less room than it may need lets the oldest go now, while there is no local text to move.
  if (drop_oldest_) make_room(local_.empty() && method_ ? std::min(method_->segment_length(), context_.capacity()) : count);
  if (context_.length() + count > context_.capacity())
    throw Error(ErrorKind::kMismatch, "context longer than the model's positions", model_.directory(),
                std::to_string(memories()) + " memories and " + std::to_string(static_cast<std::int64_t>(local_.size()) + count) +
                    " raw tokens need " + std::to_string(context_.length() + count) + " positions, there are " + std::to_string(context_.capacity()),
                memories() > 0 ? "--overflow oldest lets the oldest memories go" : "");
}

void SlotSession::settle() {
  if (method_ && static_cast<std::int64_t>(local_.size()) == method_->segment_length()) compress_local();
}

void SlotSession::compress_local() {
  const at::Tensor hidden = method_->encode(ids_of(local_.data(), static_cast<std::int64_t>(local_.size())));
  const KeysValues kv = method_->transfer(hidden);
  context_.truncate(local_begin_);
  compressed_.push_back({std::move(local_), hidden[0], kv});
  local_.clear();
  add_memory(kv);
}

}  // namespace uio
