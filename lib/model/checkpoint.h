// The weights of a Hugging Face directory, mapped: one file or several with an index. Torch-free.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace uio {

class Checkpoint {
 public:
  // Reads model.safetensors, or the files that model.safetensors.index.json names. Throws Error{kIo} for missing files,
  // Error{kData} for damage, a tensor in two files, or one that the index names and its file lacks; Error{kMismatch} for a
  // directory with pickled weights alone.
  explicit Checkpoint(const std::string& directory);

  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  // Throws Error{kData} when missing, Error{kMismatch} when the shape differs, naming both.
  const TensorView& tensor(const std::string& name, const std::vector<std::int64_t>& shape) const;
  bool contains(const std::string& name) const { return tensors_.contains(name); }
  const std::string& directory() const { return directory_; }
  std::vector<std::string> files() const;

 private:
  std::string directory_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, TensorView> tensors_;
};

std::string shape_text(const std::vector<std::int64_t>& shape);  // "[2, 3]"

}  // namespace uio
