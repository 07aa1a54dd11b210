// The state machine of generation with memory tokens (arXiv 2406.18173, generation).
#pragma once

#include <variant>

#include "memory/decoder_session.h"
#include "memory/method.h"

namespace uio {

// Text order is kept: memories, ended documents' tails and the local text lie one behind the other. When the local text has
// grown to a whole segment it is compressed: its raw keys and values (the oldest L tokens) go, its memory comes.
class SlotSession : public DecoderSession {
 public:
  // `method` null: nothing is ever compressed. `expected`: positions that may be needed (for dynamic rope scaling).
  // `drop_oldest`: when positions run out the oldest memories go; otherwise Error{kMismatch} names the numbers.
  SlotSession(const Model& model, const MemoryMethod* method, std::int64_t expected, bool drop_oldest);

  void add_memory(KeysValues memory, const std::vector<std::int32_t>& tokens = {}) override;
  void end_document() override;  // its tail stays raw
  at::Tensor add_segment(const Segment& segment) override;
  // The local text so far is a segment that its content closed: it is compressed though it is shorter than L.
  void close_segment();
  at::Tensor add_tokens(const std::vector<std::int32_t>& tokens) override;
  void retrieve(const std::vector<std::int32_t>& query, std::int64_t count) override;
  void prepare() override { prepare(1); }
  void settle() override;

  std::int64_t positions() const { return context_.length(); }
  std::int64_t memories() const;

 private:
  struct Memory {
    KeysValues kv;
    std::vector<std::int32_t> tokens;  // none: they were not kept
  };
  using Entry = std::variant<Memory, std::vector<std::int32_t>>;  // a memory, or raw tokens that stay
  static std::int64_t positions_of(const Entry& entry);
  TokenContext& context() override { return context_; }
  void prepare(std::int64_t tokens);
  void check_room(std::int64_t tokens) const;
  void make_room(std::int64_t tokens);
  void feed(const std::vector<std::int32_t>& tokens);
  void compress_local();
  void rebuild();

  const Model& model_;
  const MemoryMethod* method_;
  bool drop_oldest_;
  DecoderContext context_;
  std::vector<Entry> entries_;  // before the local text
  std::int64_t local_begin_ = 0;
};

}  // namespace uio
