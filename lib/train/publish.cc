#include "train/publish.h"

#include <ATen/ATen.h>

#include <filesystem>
#include <functional>
#include <map>

#include "base/error.h"
#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "model/fingerprint.h"
#include "model/tensor.h"

namespace uio {
namespace {

struct Named {
  std::string name;
  at::Tensor tensor;
};

void write_tensors(const std::string& path, const std::vector<Named>& tensors, const std::map<std::string, std::string>& metadata) {
  std::vector<SafetensorsWriter::Entry> entries;
  for (const Named& one : tensors)
    entries.push_back({one.name, safetensors_name(dtype_of(one.tensor.scalar_type())), one.tensor.sizes().vec(), static_cast<std::uint64_t>(one.tensor.nbytes())});
  const auto sink = open_sink(path);
  SafetensorsWriter writer(*sink, std::move(entries), metadata);
  for (const Named& one : tensors) {
    const at::Tensor data = one.tensor.to(at::kCPU).contiguous();
    writer.write(bytes_of(data));
  }
  writer.finish();
  sink->commit();
}

void write_text(const std::string& path, const std::string& text) {
  const auto sink = open_sink(path);
  sink->write(text);
  sink->commit();
}

void make_directory(const std::string& directory) {
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  if (failed) throw Error(ErrorKind::kIo, "cannot make directory", directory, failed.message());
}

std::vector<Named> trained(const Parameters& parameters, bool of_base, at::ScalarType dtype) {
  std::vector<Named> tensors;
  for (const Parameter& one : parameters.all())
    if (one.of_base == of_base) tensors.push_back({one.name, one.value.detach().to(dtype)});
  return tensors;
}

void export_base(const std::string& directory, at::ScalarType dtype, const Parameters& parameters, const Model& model) {
  make_directory(directory);
  write_tensors(directory + "/model.safetensors", trained(parameters, true, dtype), {{"format", "pt"}});
  Json config = read_json(model.directory() + "/config.json");
  config["torch_dtype"] = dtype == at::kBFloat16 ? "bfloat16" : dtype == at::kHalf ? "float16" : "float32";
  write_text(directory + "/config.json", config.dump(2) + "\n");
  std::error_code same;
  if (std::filesystem::equivalent(directory, model.directory(), same)) return;
  for (const char* file : {"tokenizer.model", "tokenizer_config.json", "tokenizer.json", "special_tokens_map.json", "generation_config.json"}) {
    const std::string from = model.directory() + "/" + file;
    if (!std::filesystem::exists(from, same)) continue;
    const MappedFile content(from);
    const auto sink = open_sink(directory + "/" + file);
    sink->write(content.bytes());
    sink->commit();
  }
}

}  // namespace

void export_trained(const std::string& directory, const std::string& dtype, Trainable trainable, const Parameters& parameters, const Model& model,
                    const AdapterConfig* adapter) {
  const at::ScalarType type = dtype == "bf16" ? at::kBFloat16 : dtype == "f16" ? at::kHalf : at::kFloat;
  std::string base = model.fingerprint(), adapter_directory = directory;
  if (trainable != Trainable::kAdapter) {
    export_base(directory, type, parameters, model);
    if (trainable == Trainable::kBase) return;
    const Checkpoint written(directory);
    base = model_fingerprint(written, model.config(), "", 1);
    adapter_directory += "/adapter";
  }
  make_directory(adapter_directory);
  AdapterConfig config = *adapter;
  config.base_fingerprint = base;
  write_tensors(adapter_directory + "/adapter_model.safetensors", trained(parameters, false, type), {});
  write_text(adapter_directory + "/adapter_config.json", to_json(config).dump(2) + "\n");
}

void write_gradients(const std::string& path, const Parameters& parameters, const std::vector<at::Tensor>& gradients) {
  std::vector<Named> tensors;
  for (std::size_t i = 0; i < gradients.size(); ++i) tensors.push_back({parameters.all()[i].name, gradients[i]});
  write_tensors(path, tensors, {});
}

}  // namespace uio
