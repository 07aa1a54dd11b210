// A decoder at work on memories and text: what generation asks of a method's state machine.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "io/record.h"
#include "memory/context.h"
#include "memory/keys_values.h"

namespace uio {

struct StoredMemory;

// Memories that are read come first; the local text grows behind them, and becomes memory as the method will have it.
class DecoderSession {
 public:
  struct Compressed {
    std::vector<std::int32_t> tokens;
    at::Tensor hidden;  // [N, M, D]
    KeysValues kv;      // [1, N, G, M, d]
  };

  virtual ~DecoderSession() = default;

  // `tokens`: ids of the segment, where they were kept.
  virtual void add_memory(KeysValues memory, const std::vector<std::int32_t>& tokens = {}) = 0;
  // The next `count` rows of a blob that stay in its file; only of a method that searches them there.
  virtual void add_stored(const std::shared_ptr<const StoredMemory>& stored, std::int64_t count);
  // The local text so far belongs to a document that has ended: what follows starts a new local text.
  virtual void end_document() = 0;
  // A raw segment that was read, which becomes memory at once if it is a whole one. Returns the last token's residual row, [1, D],
  // undefined without tokens; so does add_tokens.
  virtual at::Tensor add_segment(const Segment& segment) = 0;
  // Feeds tokens, compressing as the local text fills up.
  virtual at::Tensor add_tokens(const std::vector<std::int32_t>& tokens) = 0;

  // Reads again, raw, before the local text, the `count` segments whose memories `query`, as it would be read next, attends to most: fewer only where there are
  // not so many. Throws Error{kMismatch} where no memory has its tokens, Error{kUsage} for a method that has no use for it.
  virtual void retrieve(const std::vector<std::int32_t>& query, std::int64_t count) = 0;

  // What add_tokens does for one token in three parts, so that several sessions of one model can go through it side by side:
  // prepare each; add to all, tokens in the order of the sessions, [B, D] as the last rows; settle each.
  virtual void prepare() = 0;  // makes room; throws Error{kMismatch} where there is none
  static at::Tensor add_token_each(std::span<DecoderSession* const> sessions, std::span<const std::int32_t> tokens);
  virtual void settle() = 0;  // compresses the local text when it is time to

  const std::vector<std::int32_t>& local() const { return local_; }
  // Segments compressed since the last call.
  std::vector<Compressed> take_compressed() { return std::exchange(compressed_, {}); }
  // From now on none of them are kept to be taken.
  void drop_compressed() { keeps_compressed_ = false; }

 protected:
  virtual TokenContext& context() = 0;
  // ids [1, count] int64.
  static at::Tensor ids_of(const std::int32_t* tokens, std::int64_t count);

  void note_compressed(Compressed one) {
    if (keeps_compressed_) compressed_.push_back(std::move(one));
  }

  std::vector<std::int32_t> local_;

 private:
  std::vector<Compressed> compressed_;
  bool keeps_compressed_ = true;
};

}  // namespace uio
