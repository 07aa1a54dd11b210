// The file that a training run lives in between two steps: safetensors (any reader of that format opens it) with a JSON
// description and a checksum over everything. Torch-free; what the description says is lib/train's business.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"

namespace uio {

inline constexpr char kTrainStateFormat[] = "uio-train-state";
inline constexpr int kTrainStateVersion = 1;

// A state file, mapped, every byte of it checked.
class TrainStateFile {
 public:
  // Throws Error{kIo} when it cannot be read; Error{kData} for damage anywhere, the description included; Error{kMismatch} for
  // another version (naming both) and for a safetensors file that is no state.
  explicit TrainStateFile(const std::string& path);
  const Json& description() const { return description_; }
  const std::map<std::string, TensorView>& tensors() const { return file_.tensors(); }

 private:
  SafetensorsFile file_;
  Json description_;
};

// True if a safetensors file with this metadata is a state, or was one before it was damaged.
bool is_train_state(const std::map<std::string, std::string>& metadata);

// One tensor to be kept; `bytes` stay alive while the state is written.
struct StateTensor {
  std::string name, dtype;  // dtype as in safetensors
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};

// Writes a whole state, the tensors in the order of their names; the caller commits the sink. The same description and tensors
// give the same bytes. Throws Error{kInternal} for what no reader would take: a description that is no object or not UTF-8,
// bytes that are not as many as dtype and shape say; Error{kData} for two tensors of one name.
void write_train_state(Sink& sink, const Json& description, std::span<const StateTensor> tensors);

}  // namespace uio
