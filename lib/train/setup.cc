#include "train/setup.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "base/error.h"
#include "memory/setup.h"
#include "model/placement.h"

namespace uio {
namespace {

// Weights that are trained are kept in f32; products run in bf16 where the machine has them.
Placement training_placement(ModelChoice choice, Host& host) {
  if (choice.dtype == "auto") choice.dtype = "bf16";
  Placement placement = choose_placement(choice, host);
  if (placement.stored == at::kHalf) throw Error(ErrorKind::kUsage, "cannot train in f16", "--dtype", "expected auto, f32, bf16 or f64");
  if (placement.computed != placement.stored) placement.stored = placement.computed;  // a frozen weight would be widened at every use
  return placement;
}

Json targets_of(const std::string& list) {
  Json names = Json::array();
  for (std::size_t begin = 0; begin < list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    names.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return names;
}

// The adapter that a run begins with, for the segments that are asked for.
Adapter first_adapter(const TrainJob& job, const Model& model) {
  ModelChoice choice = job.choice;
  choice.segment_length = choice.memory_length = 0;
  choice.method = "uio";  // memory layers have no adapter to train
  return with_segments(choose_adapter(choice, model), {job.choice.segment_length, job.choice.memory_length}, model);
}

Adapter open_adapter(const TrainJob& job, const TrainStateFile* state, const Model& model, std::string& origin) {
  if (job.init_adapter) {
    origin = "fresh";
  } else if (!state || !job.choice.adapter.empty()) {
    Adapter adapter = first_adapter(job, model);
    origin = adapter.fingerprint;
    if (!state) return adapter;
  } else {
    origin = state->description().at("settings").at("model").at("adapter_origin").get<std::string>();
  }
  if (!state) return initial_adapter(model, asked_shape(job, model.config()), job.shape.shared_row, job.choice.seed);
  const Json& kept = state->description().at("settings").at("model");  // its weights come from the state
  return initial_adapter(model, parse_adapter_config(kept.at("adapter"), job.state), kept.at("shared_row").get<bool>(), 0);
}

// The configuration that the options ask for, `trained` where they leave it open.
AdapterConfig asked_adapter(const TrainJob& job, const Model& model, AdapterConfig trained) {
  if (job.init_adapter) return asked_shape(job, model.config());
  if (job.choice.segment_length > 0) trained.segment_length = job.choice.segment_length;
  if (job.choice.memory_length > 0) trained.memory_length = job.choice.memory_length;
  return trained;
}

}  // namespace

AdapterConfig asked_shape(const TrainJob& job, const ModelConfig& model) {
  const SegmentShape shape = asked_segments(job.choice, model);
  return parse_adapter_config(Json{{"format", "uio-adapter"}, {"version", 1}, {"method", "uio"}, {"segment_length", shape.length}, {"memory_length", shape.slots},
                                   {"lora_rank", job.shape.rank}, {"lora_alpha", job.shape.alpha}, {"memory_mask", job.shape.mask},
                                   {"memory_positions", job.shape.positions}, {"encoder_targets", targets_of(job.shape.encoder_targets)},
                                   {"transfer_targets", targets_of(job.shape.transfer_targets)}},
                              "the options");
}

Workshop open_workshop(const TrainJob& job, const TrainStateFile* state, Host& host) {
  Workshop shop;
  shop.trainable = trainable_named(job.trainable);
  shop.tokenizer = open_tokenizer(job.choice.model);
  const bool is_fresh = job.init_base && shop.trainable != Trainable::kAdapter;
  shop.model = std::make_unique<Model>(job.choice.model, training_placement(job.choice, host), job.choice.cache_dir, at::get_num_threads(),
                                       is_fresh ? Model::Weights::kFresh : Model::Weights::kCheckpoint, job.choice.seed);
  check_fit(*shop.tokenizer, *shop.model);
  if (shop.trainable == Trainable::kBase) {
    if (job.objective == "crossbatch") shop.windows = window_adapter(job.choice, *shop.model);
    shop.parameters = std::make_unique<Parameters>(shop.trainable, *shop.model, nullptr);
    return shop;
  }
  Adapter adapter = open_adapter(job, state, *shop.model, shop.adapter_origin);
  shop.adapter = adapter.config;
  shop.asked_adapter = to_json(asked_adapter(job, *shop.model, adapter.config));
  shop.parameters = std::make_unique<Parameters>(shop.trainable, *shop.model, &adapter);
  shop.method = make_method(*shop.model, std::move(adapter));
  return shop;
}

}  // namespace uio
