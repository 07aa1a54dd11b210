// The state machine of generation with a local window and memory layers, as the released LongLLaMA has it (arXiv 2307.03170).
#pragma once

#include "memory/decoder_session.h"
#include "memory/window_context.h"

namespace uio {

// Whether a segment is a window that becomes memory. A tail may be as long.
inline bool is_window(const Segment& segment) { return segment.is_closed || (segment.is_full() && !segment.span.is_last); }

// Throws Error{kUsage}: where memories are raw keys and values, all of the text is there already.
[[noreturn]] void refuse_retrieval();

// When the local window would overflow, all of it becomes memory and what comes begins a new one. Text that comes at once is taken as the release takes an
// input: all but its tail in pieces of a window, then the tail. To an empty local window these pieces become memory as they are read.
class WindowSession : public DecoderSession {
 public:
  WindowSession(const Model& model, const WindowSettings& settings, std::int64_t length);

  void add_memory(KeysValues memory, const std::vector<std::int32_t>& tokens = {}) override;
  void add_stored(const std::shared_ptr<const StoredMemory>& stored, std::int64_t count) override { context_.add_stored(stored, count); }
  void end_document() override;  // its tail becomes memory, which take_compressed() does not tell: the tail is still what is kept of it
  at::Tensor add_segment(const Segment& segment) override;  // throws Error{kMismatch} for one that is longer than the window
  at::Tensor add_tokens(const std::vector<std::int32_t>& tokens) override;
  void retrieve(const std::vector<std::int32_t>&, std::int64_t) override { refuse_retrieval(); }
  void prepare() override;
  void settle() override {}

 private:
  TokenContext& context() override { return context_; }
  at::Tensor append(std::span<const std::int32_t> piece);
  void move_local();
  KeysValues move_window();

  WindowSettings settings_;
  std::int64_t length_;  // of the longest local window
  WindowContext context_;
};

}  // namespace uio
