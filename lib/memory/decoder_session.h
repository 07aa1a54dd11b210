// A decoder at work on memories and text: the state machine of generation (arXiv 2406.18173, generation).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "memory/context.h"
#include "memory/method.h"

namespace uio {

// Text order is kept: memories, ended documents' tails and the local text lie one behind the other. When the local text has
// grown to a whole segment it is compressed: its raw keys and values (the oldest L tokens) go, its memory comes.
class DecoderSession {
 public:
  struct Compressed {
    std::vector<std::int32_t> tokens;
    at::Tensor hidden;  // [N, M, D]
    KeysValues kv;      // [1, N, G, M, d]
  };

  // `method` null: nothing is ever compressed. `expected`: positions that may be needed (for dynamic rope scaling).
  // `drop_oldest`: when positions run out the oldest memories go; otherwise Error{kMismatch} names the numbers.
  DecoderSession(const Model& model, const MemoryMethod* method, std::int64_t expected, bool drop_oldest);

  void add_memory(KeysValues memory);
  // The local text so far belongs to a document that has ended: it stays raw, and what follows starts a new local text.
  void end_document();
  // The local text so far is a segment that its content closed: it is compressed though it is shorter than L.
  void close_segment();
  // Feeds tokens, compressing as segments fill up. Returns the last token's residual row, [1, D].
  at::Tensor add_tokens(const std::vector<std::int32_t>& tokens);

  // What add_tokens does for one token in three parts, so that several sessions of one model can go through it side by side:
  // prepare each; add to all, tokens in the order of the sessions, [B, D] as the last rows; settle each.
  void prepare(std::int64_t tokens = 1);  // makes room; throws Error{kMismatch} where there is none
  static at::Tensor add_token_each(std::span<DecoderSession* const> sessions, std::span<const std::int32_t> tokens);
  void settle();  // compresses the local text when it is a whole segment

  const std::vector<std::int32_t>& local() const { return local_; }
  // Segments compressed by add_tokens since the last call.
  std::vector<Compressed> take_compressed();
  std::int64_t positions() const { return context_.length(); }
  std::int64_t memories() const;

 private:
  using Entry = std::variant<KeysValues, std::vector<std::int32_t>>;  // a memory, or raw tokens that stay
  void make_room(std::int64_t tokens);
  void compress_local();
  void rebuild();

  const Model& model_;
  const MemoryMethod* method_;
  bool drop_oldest_;
  DecoderContext context_;
  std::vector<Entry> entries_;  // before the local text
  std::int64_t local_begin_ = 0;
  std::vector<std::int32_t> local_;
  std::vector<Compressed> compressed_;
};

}  // namespace uio
