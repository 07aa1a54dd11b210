#include "train/run_state.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "model/checkpoint.h"
#include "model/tensor.h"

namespace uio {
namespace {

constexpr char kWeight[] = "weight.", kFirst[] = "first_moment.", kSecond[] = "second_moment.";

}  // namespace

void save_state(const std::string& path, const Progress& progress, const RunSettings& settings, const Parameters& parameters, Optimiser& optimiser) {
  const Json description = {{"step", progress.step},           {"schedule_begin", progress.schedule_begin}, {"documents", progress.documents},
                            {"tokens", progress.tokens},       {"counts", progress.counts},                 {"optimiser_steps", optimiser.steps()},
                            {"settings", settings}};
  std::vector<StateTensor> tensors;
  std::vector<at::Tensor> alive;
  const auto keep = [&](const std::string& name, const at::Tensor& tensor) {
    alive.push_back(tensor.detach().to(at::kCPU).contiguous());
    const at::Tensor& data = alive.back();
    tensors.push_back({name, safetensors_name(dtype_of(data.scalar_type())), data.sizes().vec(), bytes_of(data)});
  };
  for (std::size_t i = 0; i < parameters.all().size(); ++i) {
    const Parameter& one = parameters.all()[i];
    keep(kWeight + one.name, one.value);
    keep(kFirst + one.name, optimiser.first()[i]);
    keep(kSecond + one.name, optimiser.second()[i]);
  }
  const auto sink = open_sink(path);
  write_train_state(*sink, description, tensors);
  sink->commit();
}

Progress progress_of(const TrainStateFile& file) {
  const Json& json = file.description();
  Progress progress;
  progress.step = json.at("step").get<std::uint64_t>();
  progress.schedule_begin = json.at("schedule_begin").get<std::uint64_t>();
  progress.documents = json.at("documents").get<std::uint64_t>();
  progress.tokens = json.at("tokens").get<std::uint64_t>();
  progress.counts = json.at("counts").get<std::vector<std::uint64_t>>();
  return progress;
}

void load_weights(const TrainStateFile& file, const Parameters& parameters, Optimiser& optimiser, const std::string& path) {
  const at::NoGradGuard no_gradients;
  const auto read = [&](const std::string& name, const at::Tensor& into) {
    const auto found = file.tensors().find(name);
    if (found == file.tensors().end()) throw Error(ErrorKind::kMismatch, "state of another run", path, "tensor '" + name + "' is missing");
    const at::Tensor data = view_of(found->second, name);
    if (data.sizes() != into.sizes())
      throw Error(ErrorKind::kMismatch, "state of another run", path,
                  "tensor '" + name + "' is " + shape_text(data.sizes().vec()) + ", expected " + shape_text(into.sizes().vec()));
    at::Tensor(into).copy_(data);
  };
  for (std::size_t i = 0; i < parameters.all().size(); ++i) {
    const Parameter& one = parameters.all()[i];
    read(kWeight + one.name, one.value);
    read(kFirst + one.name, optimiser.first()[i]);
    read(kSecond + one.name, optimiser.second()[i]);
  }
  if (file.tensors().size() != 3 * parameters.all().size())
    throw Error(ErrorKind::kMismatch, "state of another run", path,
                "it has " + std::to_string(file.tensors().size()) + " tensors, this run " + std::to_string(3 * parameters.all().size()));
  optimiser.set_steps(file.description().at("optimiser_steps").get<std::uint64_t>());
}

}  // namespace uio
