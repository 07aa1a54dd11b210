// From a job to what it trains: model, memory method and parameters, made afresh, loaded, or taken up from a state.
#pragma once

#include <memory>
#include <optional>

#include "base/host.h"
#include "io/jobs.h"
#include "io/train_state.h"
#include "memory/method.h"
#include "text/tokenizer.h"
#include "train/parameters.h"

namespace uio {

struct Workshop {
  Trainable trainable;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Model> model;
  std::unique_ptr<MemoryMethod> method;  // null: the base alone is trained
  std::optional<Adapter> windows;        // how the base's memory layers are used, where these are trained: of method fot
  std::unique_ptr<Parameters> parameters;
  std::optional<AdapterConfig> adapter;
  Json asked_adapter;          // the configuration that the options ask for; the trained one's where they ask for none
  std::string adapter_origin;  // "fresh", or the fingerprint of the adapter that the run began with
};

// `state`: null where there is none yet; its weights are not read here. Throws what models and adapters throw, Error{kUsage} when
// there is neither an adapter nor --init adapter.
Workshop open_workshop(const TrainJob& job, const TrainStateFile* state, Host& host);

// The shape of the adapter that --init adapter makes for a model. Throws what parsing an adapter's configuration throws.
AdapterConfig asked_shape(const TrainJob& job, const ModelConfig& model);

}  // namespace uio
