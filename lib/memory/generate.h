// Answers: what to continue from, how, and the text as it is made.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/jobs.h"
#include "io/record.h"
#include "memory/blob.h"
#include "memory/decoder_session.h"
#include "memory/grown_memory.h"
#include "memory/sampler.h"
#include "memory/setup.h"
#include "memory/stop_filter.h"

namespace uio {

struct GenerateRequest {
  std::vector<std::string> memory;  // blobs, in order; "-" is standard input
  std::string prompt;
  Prompting prompting;
  int max_tokens = 128;
  Sampling sampling;
  std::uint64_t seed = 0;
  bool ignore_eos = false;
  bool drop_oldest = false;
  std::uint32_t retrieve = 0;  // segments that are read again raw, nearest to the prompt
};

// One answer in the making. Not movable: its parts refer to each other.
class Generation {
 public:
  using Emit = std::function<void(const std::string&)>;

  // Feeds the memories and the prompt. `emit` gets whole UTF-8 characters as they are certain (a stop string is never begun).
  // `keep_grown`: the blobs have their tensors' bytes, and take_grown() will be asked for. `ready` must outlive it.
  // Throws what capacity throws, and Error{kUsage} when there is nothing to continue from or to retrieve by.
  Generation(const Ready& ready, GenerateRequest request, std::vector<std::shared_ptr<const Blob>> blobs, bool keep_grown, Emit emit);
  Generation(const Generation&) = delete;

  bool is_done() const { return is_done_; }
  const std::string& text() const { return text_; }
  const std::vector<std::int32_t>& tokens() const { return tokens_; }
  const char* finish() const { return finish_; }  // "length", "stop", "eos"
  // Of the first blob.
  const Provenance& provenance() const;
  // Once, when it is done: what was read, with the local text compressed as far as it filled segments and its rest as the tail.
  std::vector<Record> take_grown();

  // One token for each of `generations`, of one model and none of them done, their rows of every product computed together.
  // Where one has no room to go on, `fail` is called with its index within the handler of the Error; the others go on.
  static void advance(std::span<Generation* const> generations, const std::function<void(std::size_t)>& fail);

 private:
  void read(const Blob& blob);
  void choose(std::span<const float> logits);
  void end(const char* finish);
  void show(const std::string& text);

  const Ready& ready_;
  GenerateRequest request_;
  std::vector<std::shared_ptr<const Blob>> blobs_;
  Emit emit_;
  bool is_start_;  // nothing was read: what follows begins a document
  std::vector<std::int32_t> prompt_;
  std::int32_t end_of_turn_;  // ends the answer of a chat; -1: no chat
  Sampler sampler_;
  std::unique_ptr<DecoderSession> session_;
  std::optional<GrownMemory> grown_;
  TextStream stream_;
  StopFilter filter_;
  at::Tensor last_;                      // [1, D]: what the next token is predicted from
  std::optional<std::int32_t> pending_;  // chosen and not fed yet
  std::string text_;
  std::vector<std::int32_t> tokens_;
  const char* finish_ = "length";
  bool is_done_ = false, ends_document_ = false;
};

}  // namespace uio
