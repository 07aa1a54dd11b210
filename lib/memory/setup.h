// From options to a model that is ready: weights, tokenizer and, when asked for, the memory method.
#pragma once

#include <memory>

#include "base/host.h"
#include "io/jobs.h"
#include "memory/method.h"
#include "text/tokenizer.h"

namespace uio {

struct Ready {
  std::unique_ptr<Model> model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<MemoryMethod> method;  // null: none was needed, or none is there

  // The method, or Error{kUsage} that says how to get an adapter.
  const MemoryMethod& need_method() const;
  // The method's state machine of generation, or without a method that of memories at positions, where nothing is ever compressed.
  std::unique_ptr<DecoderSession> make_session(std::int64_t expected, bool drop_oldest) const;
};

enum class AdapterNeed { kNo, kIfThere, kYes };

// The tokenizer in a model's directory. Throws Error{kIo} where there is no such directory, and what load_tokenizer throws.
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& directory);
// Throws Error{kMismatch} when the tokenizer has tokens that the model has not.
void check_fit(const Tokenizer& tokenizer, const Model& model);

// Throws what its parts throw, and Error{kMismatch} when tokenizer and model do not fit each other.
Ready make_ready(const ModelChoice& choice, AdapterNeed need, Host& host, Model::Weights weights = Model::Weights::kCheckpoint);

}  // namespace uio
