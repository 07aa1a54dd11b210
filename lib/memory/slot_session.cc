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
  return std::count_if(entries_.begin(), entries_.end(), [](const Entry& entry) { return std::holds_alternative<Memory>(entry); });
}

std::int64_t SlotSession::positions_of(const Entry& entry) {
  if (const auto* memory = std::get_if<Memory>(&entry)) return memory->kv.keys.size(3);
  return static_cast<std::int64_t>(std::get<std::vector<std::int32_t>>(entry).size());
}

void SlotSession::add_memory(KeysValues memory, const std::vector<std::int32_t>& tokens) {
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
  entries_.emplace_back(Memory{std::move(memory), tokens});
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
  while (gone < entries_.size() && length + tokens > context_.capacity()) length -= positions_of(entries_[gone++]);
  if (gone == 0) return;
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(gone));
  rebuild();
}

void SlotSession::rebuild() {
  context_.truncate(0);
  for (const Entry& entry : entries_) {
    if (const auto* memory = std::get_if<Memory>(&entry)) context_.add_memory(memory->kv.keys, memory->kv.values);
    else feed(std::get<std::vector<std::int32_t>>(entry));
  }
  local_begin_ = context_.length();
  feed(local_);
}

// Into the context alone.
void SlotSession::feed(const std::vector<std::int32_t>& tokens) {
  const auto total = static_cast<std::int64_t>(tokens.size());
  for (std::int64_t at = 0; at < total; at += kTokensAtOnce) context_.add_tokens(ids_of(tokens.data() + at, std::min(kTokensAtOnce, total - at)));
}

void SlotSession::retrieve(const std::vector<std::int32_t>& query, std::int64_t count) {
  const auto length = static_cast<std::int64_t>(query.size());
  const std::int64_t asking = std::min(length, method_ ? method_->segment_length() : kTokensAtOnce);  // the end of a long query
  const auto tokens_of = [](const Entry& entry) -> const std::vector<std::int32_t>* {
    const auto* memory = std::get_if<Memory>(&entry);
    return memory && !memory->tokens.empty() ? &memory->tokens : nullptr;
  };
  if (drop_oldest_) {
    std::int64_t longest = 0;
    for (const Entry& entry : entries_)
      if (const auto* tokens = tokens_of(entry)) longest = std::max(longest, static_cast<std::int64_t>(tokens->size()));
    make_room(std::max(asking, count * longest));
  }
  std::vector<MemoryRange> ranges;
  std::vector<const std::vector<std::int32_t>*> segments;
  std::int64_t begin = 0;
  for (const Entry& entry : entries_) {
    if (const auto* tokens = tokens_of(entry)) {
      ranges.push_back({begin, positions_of(entry)});
      segments.push_back(tokens);
    }
    begin += positions_of(entry);
  }
  if (segments.empty())
    throw Error(ErrorKind::kMismatch, "nothing to retrieve", model_.directory(), memories() == 0 ? "there is no memory" : "no memory has its tokens",
                "uio-compress --keep-tokens keeps them");
  MemoryMass mass(std::move(ranges));
  check_room(asking);
  const std::int64_t end = context_.length();
  context_.watch(&mass);
  context_.add_tokens(ids_of(query.data() + (length - asking), asking));
  context_.watch(nullptr);
  context_.truncate(end);
  std::vector<std::int32_t> raw;
  for (const std::size_t i : mass.largest(count)) raw.insert(raw.end(), segments[i]->begin(), segments[i]->end());
  check_room(static_cast<std::int64_t>(raw.size()));
  context_.truncate(local_begin_);
  feed(raw);
  entries_.emplace_back(std::move(raw));
  local_begin_ = context_.length();
  feed(local_);
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
  check_room(count);
}

void SlotSession::check_room(std::int64_t count) const {
  if (context_.length() + count <= context_.capacity()) return;
  std::int64_t raw = static_cast<std::int64_t>(local_.size()) + count;
  for (const Entry& entry : entries_) raw += std::holds_alternative<Memory>(entry) ? 0 : positions_of(entry);
  throw Error(ErrorKind::kMismatch, "context longer than the model's positions", model_.directory(),
              std::to_string(memories()) + " memories and " + std::to_string(raw) + " raw tokens need " + std::to_string(context_.length() + count) +
                  " positions, there are " + std::to_string(context_.capacity()),
              memories() > 0 ? "--overflow oldest lets the oldest memories go" : "");
}

void SlotSession::settle() {
  if (method_ && static_cast<std::int64_t>(local_.size()) == method_->segment_length()) compress_local();
}

void SlotSession::compress_local() {
  const at::Tensor hidden = method_->encode(ids_of(local_.data(), static_cast<std::int64_t>(local_.size())));
  const KeysValues kv = method_->transfer(hidden);
  context_.truncate(local_begin_);
  const std::vector<std::int32_t> tokens = std::exchange(local_, {});
  note_compressed({tokens, hidden[0], kv});
  add_memory(kv, tokens);
}

}  // namespace uio
