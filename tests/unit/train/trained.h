// A tiny model in f64 whose weights are trained, and documents for it.
#pragma once

#include <memory>

#include "memory/method.h"
#include "train/document.h"
#include "train/estimators.h"
#include "train/parameters.h"
#include "unit/model/tiny.h"

namespace uio::test {

struct Trained {
  explicit Trained(Trainable trainable, const Json& model_changes = Json::object(), const Json& adapter_changes = Json::object(),
                   at::ScalarType dtype = at::kDouble)
      : tiny(model_changes), config(tiny_adapter_config(adapter_changes)), model(tiny.load(dtype)) {
    if (trainable == Trainable::kBase) {
      parameters = std::make_unique<Parameters>(trainable, model, nullptr);
      return;
    }
    write_adapter(tiny.scratch, config, tiny_adapter_weights(config, model.config(), 77, /*is_shared=*/false));
    Adapter adapter = load_adapter(tiny.scratch.path("adapter"), model);
    parameters = std::make_unique<Parameters>(trainable, model, &adapter);
    method = make_method(model, std::move(adapter));
  }
  const Parameter& parameter(const std::string& name) const {
    for (const Parameter& one : parameters->all())
      if (one.name == name) return one;
    throw std::logic_error("no parameter " + name);
  }

  TinyModel tiny;
  Json config;
  Model model;
  std::unique_ptr<Parameters> parameters;
  std::unique_ptr<MemoryMethod> method;
};

inline Document random_document(std::int64_t length, std::uint64_t seed) {
  Document document;
  for (const std::int32_t id : random_ids(length, seed)) document.ids.push_back(id);
  document.weights.assign(document.ids.size(), 1);
  return document;
}

// Settings of a plan for a `Trained`.
inline PlanSettings plan_settings(const Objectives& objectives, bool trains_base = false) {
  PlanSettings settings;
  settings.objectives = objectives;
  settings.trains_base = trains_base;
  settings.segment_length = 12;
  settings.repeat_prompt = {7, 9};
  settings.dtype = at::kDouble;
  return settings;
}

struct DocumentGradient {
  double loss = 0;
  std::vector<at::Tensor> gradients;  // as the parameters
  LossTally tally;
};

inline DocumentGradient gradient_of(const Trained& trained, const std::string& estimator, const std::vector<Document>& documents,
                                    const PlanSettings& settings, const EstimatorSettings& sizes = {}, bool recompute = false) {
  DocumentGradient made;
  trained.parameters->clear_gradients();
  ModelDocument document({const_cast<Model&>(trained.model), trained.method.get(), recompute}, make_plan(documents, settings), made.tally);
  SeededDraws draws(1, 0);
  made.loss = estimator_named(estimator).estimate(document, sizes, draws);
  for (std::size_t i = 0; i < trained.parameters->all().size(); ++i) made.gradients.push_back(trained.parameters->gradient(i).clone());
  return made;
}

}  // namespace uio::test
