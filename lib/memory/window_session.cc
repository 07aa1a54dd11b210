#include "memory/window_session.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "memory/walk.h"

namespace uio {

WindowSession::WindowSession(const Model& model, const WindowSettings& settings, std::int64_t length)
    : settings_(settings), length_(length), context_(model, settings, length) {}

void WindowSession::add_memory(KeysValues memory, const std::vector<std::int32_t>&) { context_.add_memory(memory.keys, memory.values); }

void refuse_retrieval() {
  throw Error(ErrorKind::kUsage, "nothing to retrieve with this method", "fot", "its memory has the raw keys and values of all text");
}

// The local window becomes memory.
KeysValues WindowSession::move_window() {
  KeysValues kv = context_.window();
  context_.clear();
  context_.add_memory(kv.keys, kv.values);
  return kv;
}

void WindowSession::move_local() {
  KeysValues kv = move_window();
  note_compressed({std::exchange(local_, {}), {}, std::move(kv)});
}

void WindowSession::end_document() {
  if (context_.length() > 0) move_window();
  local_.clear();
}

// Appends tokens to the local window, which moves first if they would not fit. Returns the last one's row.
at::Tensor WindowSession::append(std::span<const std::int32_t> piece) {
  const auto count = static_cast<std::int64_t>(piece.size());
  if (context_.length() > 0 && context_.length() + count > length_) move_local();
  at::Tensor last;
  for (std::int64_t at = 0; at < count; at += kTokensAtOnce) {
    const std::int64_t some = std::min(kTokensAtOnce, count - at);
    last = context_.add_tokens(ids_of(piece.data() + at, some)).select(1, some - 1);
  }
  local_.insert(local_.end(), piece.begin(), piece.end());
  return last;
}

at::Tensor WindowSession::add_segment(const Segment& segment) {
  const std::span<const std::int32_t> tokens = segment.tokens;
  if (static_cast<std::int64_t>(tokens.size()) > length_)
    throw Error(ErrorKind::kMismatch, "segment longer than the window", segment.span.document,
                std::to_string(tokens.size()) + " tokens, the window has " + std::to_string(length_));
  if (!is_window(segment)) return append(tokens);
  if (context_.length() > 0) move_local();
  const at::Tensor last = append(tokens);
  if (context_.length() > 0) move_local();
  return last;
}

at::Tensor WindowSession::add_tokens(const std::vector<std::int32_t>& tokens) {
  const std::span<const std::int32_t> all = tokens;
  const std::size_t prefix = all.size() - std::min<std::size_t>(all.size(), settings_.tail);
  const bool is_read = context_.length() == 0;
  for (std::size_t at = 0; at < prefix; at += static_cast<std::size_t>(length_)) {
    const std::span<const std::int32_t> piece = all.subspan(at, std::min(static_cast<std::size_t>(length_), prefix - at));
    if (!is_read) {
      append(piece);
      continue;
    }
    context_.read(ids_of(piece.data(), static_cast<std::int64_t>(piece.size())));
    local_.assign(piece.begin(), piece.end());
    move_local();
  }
  return append(all.subspan(prefix));
}

void WindowSession::prepare() {
  if (context_.length() + 1 > length_) move_local();
}

}  // namespace uio
