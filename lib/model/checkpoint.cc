#include "model/checkpoint.h"

#include <set>

#include "base/error.h"
#include "io/path.h"
#include "io/json.h"

namespace uio {
namespace {

// The files that the index names, in its order of names; a name must stay inside the directory.
std::map<std::string, std::set<std::string>> read_index(const std::string& path) {
  const Json index = read_json(path);
  if (!index.is_object() || !index.contains("weight_map") || !index.at("weight_map").is_object())
    throw Error(ErrorKind::kData, "bad index", path, "no object 'weight_map'");
  std::map<std::string, std::set<std::string>> files;
  for (const auto& [tensor, file] : index.at("weight_map").items()) {
    if (!file.is_string()) throw Error(ErrorKind::kData, "bad index", path, "the file of tensor '" + tensor + "' is not a string");
    const auto name = file.get<std::string>();
    if (name.empty() || name.find('/') != std::string::npos || name.find('\\') != std::string::npos || name.find('\0') != std::string::npos ||
        name == "..")
      throw Error(ErrorKind::kData, "bad index", path, "file name '" + name + "' leads out of the directory");
    files[name].insert(tensor);
  }
  if (files.empty()) throw Error(ErrorKind::kData, "bad index", path, "'weight_map' is empty");
  return files;
}

}  // namespace

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

Checkpoint::Checkpoint(const std::string& directory) : directory_(directory) {
  const std::string whole = directory + "/model.safetensors", index = directory + "/model.safetensors.index.json";
  if (path_exists(whole)) {
    files_.push_back(std::make_unique<SafetensorsFile>(whole));
  } else if (path_exists(index)) {
    for (const auto& [name, tensors] : read_index(index)) {
      files_.push_back(std::make_unique<SafetensorsFile>(directory + "/" + name));
      for (const std::string& tensor : tensors)
        if (!files_.back()->tensors().contains(tensor))
          throw Error(ErrorKind::kData, "bad checkpoint", files_.back()->path(), "tensor '" + tensor + "' of the index is not in it");
    }
  } else if (path_exists(directory + "/pytorch_model.bin") || path_exists(directory + "/pytorch_model.bin.index.json")) {
    throw Error(ErrorKind::kMismatch, "unsupported model", directory, "its weights are pickled; only safetensors are read");
  } else {
    throw Error(ErrorKind::kIo, "cannot read model", directory, "no model.safetensors and no model.safetensors.index.json");
  }
  for (const auto& file : files_)
    for (const auto& [name, tensor] : file->tensors())
      if (!tensors_.emplace(name, tensor).second)
        throw Error(ErrorKind::kData, "bad checkpoint", file->path(), "tensor '" + name + "' is in another file as well");
}

const TensorView& Checkpoint::tensor(const std::string& name, const std::vector<std::int64_t>& shape) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw Error(ErrorKind::kData, "bad checkpoint", directory_, "tensor '" + name + "' is missing");
  if (found->second.shape != shape)
    throw Error(ErrorKind::kMismatch, "bad checkpoint", directory_,
                "tensor '" + name + "' is " + shape_text(found->second.shape) + ", the configuration asks for " + shape_text(shape));
  return found->second;
}

std::vector<std::string> Checkpoint::files() const {
  std::vector<std::string> paths;
  for (const auto& file : files_) paths.push_back(file->path());
  return paths;
}

}  // namespace uio
