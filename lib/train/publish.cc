#include "train/publish.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>

#include "base/error.h"
#include "io/descriptor.h"
#include "io/file.h"
#include "io/json.h"
#include "io/path.h"
#include "io/prepared_sink.h"
#include "io/safetensors.h"
#include "model/fingerprint.h"
#include "model/tensor.h"

namespace uio {
namespace {

struct Named {
  std::string name;
  at::Tensor tensor;
};

// Tensors and what else belongs to a configuration, in one directory. All are on the disk before the first appears, so that a full disk
// leaves the old ones. The configuration appears last, and an old one that says something else goes first: none ever stands beside
// tensors that it does not describe, whenever the run is stopped.
class Publication {
 public:
  // Makes the directory where there is none.
  explicit Publication(std::string directory) : directory_(std::move(directory)) {
    std::error_code failed;
    std::filesystem::create_directories(directory_, failed);
    if (failed) throw io_error("cannot make directory", directory_, failed.value());
  }
  Sink& add(const std::string& name) { return *sinks_.emplace_back(open_file_sink(directory_ + "/" + name)); }
  void commit(const std::string& name, const Json& config) {
    const std::string path = directory_ + "/" + name, text = config.dump(2) + "\n";
    add(name).write(text);
    for (const auto& sink : sinks_) sink->prepare();
    std::error_code failed;
    if (path_exists(path) && !std::ranges::equal(MappedFile(path).bytes(), std::as_bytes(std::span(text)))) std::filesystem::remove(path, failed);
    if (failed) throw io_error("cannot replace", path, failed.value());
    for (const auto& sink : sinks_) sink->commit();
  }

 private:
  std::string directory_;
  std::vector<std::unique_ptr<PreparedSink>> sinks_;
};

void write_tensors(Sink& sink, const std::vector<Named>& tensors, const std::map<std::string, std::string>& metadata) {
  std::vector<SafetensorsWriter::Entry> entries;
  for (const Named& one : tensors)
    entries.push_back({one.name, safetensors_name(dtype_of(one.tensor.scalar_type())), one.tensor.sizes().vec(), static_cast<std::uint64_t>(one.tensor.nbytes())});
  SafetensorsWriter writer(sink, std::move(entries), metadata);
  for (const Named& one : tensors) {
    const at::Tensor data = one.tensor.to(at::kCPU).contiguous();
    writer.write(bytes_of(data));
  }
  writer.finish();
}

std::vector<Named> trained(const Parameters& parameters, bool of_base, at::ScalarType dtype) {
  std::vector<Named> tensors;
  for (const Parameter& one : parameters.all())
    if (one.of_base == of_base) tensors.push_back({one.name, one.value.detach().to(dtype)});
  return tensors;
}

void export_base(const std::string& directory, at::ScalarType dtype, const Parameters& parameters, const Model& model, const WindowSettings* windows) {
  Publication files(directory);
  write_tensors(files.add("model.safetensors"), trained(parameters, true, dtype), {{"format", "pt"}});
  Json config = read_json(model.directory() + "/config.json");
  config["torch_dtype"] = dtype == at::kBFloat16 ? "bfloat16" : dtype == at::kHalf ? "float16" : "float32";
  if (windows) config["mem_layers"] = windows->memory.layers;
  std::error_code unknown;
  const bool is_same = std::filesystem::equivalent(directory, model.directory(), unknown);
  for (const char* file : {"tokenizer.model", "tokenizer_config.json", "tokenizer.json", "special_tokens_map.json", "generation_config.json"}) {
    const std::string from = model.directory() + "/" + file;
    if (is_same || !path_exists(from)) continue;
    const MappedFile content(from);
    files.add(file).write(content.bytes());
  }
  files.commit("config.json", config);
}

}  // namespace

void export_trained(const std::string& directory, const std::string& dtype, Trainable trainable, const Parameters& parameters, const Model& model,
                    const AdapterConfig* adapter, const WindowSettings* windows) {
  const at::ScalarType type = dtype == "bf16" ? at::kBFloat16 : dtype == "f16" ? at::kHalf : at::kFloat;
  std::string base = model.fingerprint(), adapter_directory = directory;
  if (trainable != Trainable::kAdapter) {
    export_base(directory, type, parameters, model, windows);
    if (trainable == Trainable::kBase) return;
    const Checkpoint written(directory);
    base = model_fingerprint(written, model.config(), "", 1);
    adapter_directory += "/adapter";
  }
  Publication files(adapter_directory);
  AdapterConfig config = *adapter;
  config.base_fingerprint = base;
  write_tensors(files.add("adapter_model.safetensors"), trained(parameters, false, type), {});
  files.commit("adapter_config.json", to_json(config));
}

void write_gradients(const std::string& path, const Parameters& parameters, const std::vector<at::Tensor>& gradients) {
  std::vector<Named> tensors;
  for (std::size_t i = 0; i < gradients.size(); ++i) tensors.push_back({parameters.all()[i].name, gradients[i]});
  const auto sink = open_sink(path);
  write_tensors(*sink, tensors, {});
  sink->commit();
}

}  // namespace uio
