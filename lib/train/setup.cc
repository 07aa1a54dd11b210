#include "train/setup.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "kernels/policy.h"
#include "model/placement.h"

namespace uio {
namespace {

// Weights that are trained are kept in f32; products run in bf16 where the machine has them.
Placement training_placement(ModelChoice choice, Host& host) {
  const bool is_auto = choice.dtype == "auto";
  if (is_auto) choice.dtype = "bf16";
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

Adapter open_adapter(const TrainJob& job, const TrainStateFile* state, const Model& model, std::string& origin) {
  if (state) {
    const Json& kept = state->description().at("settings").at("model");
    origin = kept.at("adapter_origin").get<std::string>();
    return initial_adapter(model, parse_adapter_config(kept.at("adapter"), job.state), kept.at("shared_row").get<bool>(), 0);
  }
  if (job.init_adapter) {
    origin = "fresh";
    return initial_adapter(model, asked_shape(job, model.config()), job.shape.shared_row, job.choice.seed);
  }
  Adapter adapter = choose_adapter(job.choice, model);
  origin = adapter.fingerprint;
  return adapter;
}

}  // namespace

AdapterConfig asked_shape(const TrainJob& job, const ModelConfig& model) {
  const std::int64_t capacity = model.capacity();
  const auto length = job.choice.segment_length ? job.choice.segment_length : static_cast<std::uint32_t>(std::clamp<std::int64_t>(capacity / 2, 1, 1024));
  const auto slots = job.choice.memory_length ? job.choice.memory_length : std::max<std::uint32_t>(1, length / 32);
  return parse_adapter_config(Json{{"format", "uio-adapter"}, {"version", 1}, {"method", "uio"}, {"segment_length", length}, {"memory_length", slots},
                                   {"lora_rank", job.shape.rank}, {"lora_alpha", job.shape.alpha}, {"memory_mask", job.shape.mask},
                                   {"memory_positions", job.shape.positions}, {"encoder_targets", targets_of(job.shape.encoder_targets)},
                                   {"transfer_targets", targets_of(job.shape.transfer_targets)}},
                              "the options");
}

Workshop open_workshop(const TrainJob& job, const TrainStateFile* state, Host& host) {
  std::error_code failed;
  if (!std::filesystem::is_directory(job.choice.model, failed))
    throw Error(ErrorKind::kIo, "cannot read model", job.choice.model,
                std::filesystem::exists(job.choice.model, failed) ? "it is not a directory" : "no such directory");
  Workshop shop;
  shop.trainable = trainable_named(job.trainable);
  shop.tokenizer = load_tokenizer(job.choice.model);
  const bool is_fresh = job.init_base && shop.trainable != Trainable::kAdapter;
  shop.model = std::make_unique<Model>(job.choice.model, training_placement(job.choice, host), job.choice.cache_dir, at::get_num_threads(),
                                       is_fresh ? Model::Weights::kFresh : Model::Weights::kCheckpoint, job.choice.seed);
  if (shop.tokenizer->vocabulary_size() > shop.model->config().vocabulary)
    throw Error(ErrorKind::kMismatch, "tokenizer does not fit the model", job.choice.model,
                "it has " + std::to_string(shop.tokenizer->vocabulary_size()) + " tokens, the model " + std::to_string(shop.model->config().vocabulary));
  if (shop.trainable == Trainable::kBase) {
    shop.parameters = std::make_unique<Parameters>(shop.trainable, *shop.model, nullptr);
    return shop;
  }
  Adapter adapter = open_adapter(job, state, *shop.model, shop.adapter_origin);
  shop.adapter = adapter.config;
  shop.asked_adapter = to_json(job.init_adapter ? asked_shape(job, shop.model->config()) : adapter.config);
  shop.parameters = std::make_unique<Parameters>(shop.trainable, *shop.model, &adapter);
  shop.method = make_method(*shop.model, std::move(adapter));
  return shop;
}

}  // namespace uio
