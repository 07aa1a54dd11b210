#include "io/train_state.h"

#include <algorithm>

#include "base/endian.h"
#include "base/error.h"
#include "base/hash.h"

namespace uio {
namespace {

// Keys of the metadata. There are no others.
constexpr char kFormatKey[] = "format", kVersionKey[] = "version", kDescriptionKey[] = "description",
               kChecksumKey[] = "checksum";

using Metadata = std::map<std::string, std::string>;

// The checksum of a whole state, fed in the order of the tensors' names.
class StateChecksum {
 public:
  StateChecksum(const std::string& version, const std::string& description) {
    checksum_.add_field(version);
    checksum_.add_field(description);
  }

  void add(const std::string& name, const std::string& dtype, const std::vector<std::int64_t>& shape,
           std::span<const std::byte> bytes) {
    checksum_.add_field(name);
    checksum_.add_field(dtype);
    checksum_.add_field(std::as_bytes(std::span(shape)));
    checksum_.add_field(bytes);
  }

  std::string hex() const { return checksum_.hex(); }

 private:
  WideChecksum checksum_;
};

[[noreturn]] void refuse(ErrorKind kind, const std::string& path, const std::string& reason) {
  throw Error(kind, "cannot read", path, reason);
}

void check_metadata(const Metadata& metadata, const std::string& path) {
  const auto format = metadata.find(kFormatKey);
  if (format == metadata.end() || format->second != kTrainStateFormat)
    refuse(ErrorKind::kMismatch, path, "is no state of uio-train-step");
  const auto version = metadata.find(kVersionKey);
  if (version == metadata.end()) refuse(ErrorKind::kData, path, "is a state without a version");
  if (version->second != std::to_string(kTrainStateVersion))
    refuse(ErrorKind::kMismatch, path,
           "is a state of version " + version->second + ", this program has version " + std::to_string(kTrainStateVersion));
  if (metadata.size() != 4 || !metadata.contains(kDescriptionKey) || !metadata.contains(kChecksumKey))
    refuse(ErrorKind::kData, path, "is a state whose metadata is damaged");
}

void check_sum(const SafetensorsFile& file) {
  StateChecksum checksum(file.metadata().at(kVersionKey), file.metadata().at(kDescriptionKey));
  for (const auto& [name, tensor] : file.tensors()) checksum.add(name, tensor.dtype, tensor.shape, tensor.bytes);
  const std::string& stated = file.metadata().at(kChecksumKey);
  if (checksum.hex() != stated)
    refuse(ErrorKind::kData, file.path(), "is damaged (checksum " + stated + ", found " + checksum.hex() + ")");
}

// The checksum is of what the header says, not of how it says it: that must be as we write it, to the byte.
void check_header(const SafetensorsFile& file, std::span<const std::byte> bytes) {
  std::vector<SafetensorsWriter::Entry> entries;
  for (const auto& [name, tensor] : file.tensors()) entries.push_back({name, tensor.dtype, tensor.shape, tensor.bytes.size()});
  MemorySink expected;
  SafetensorsWriter(expected, std::move(entries), file.metadata());
  const auto header = std::as_bytes(std::span(expected.bytes()));
  if (header.size() > bytes.size() || !std::equal(header.begin(), header.end(), bytes.begin()))
    refuse(ErrorKind::kData, file.path(), "is damaged (its header is not as it was written)");
}

std::string description_text(const Json& description, const Sink& sink) {
  if (!description.is_object()) throw Error(ErrorKind::kInternal, "cannot write", sink.name(), "the description is no object");
  try {
    return description.dump();
  } catch (const Json::exception&) {
    throw Error(ErrorKind::kInternal, "cannot write", sink.name(), "the description is not UTF-8");
  }
}

void check_size(const StateTensor& tensor, const Sink& sink) {
  std::string reason;
  try {
    const std::uint64_t needed = tensor_bytes(tensor.dtype, tensor.shape);
    if (needed == tensor.bytes.size()) return;
    reason = "has " + std::to_string(tensor.bytes.size()) + " bytes, its shape needs " + std::to_string(needed);
  } catch (const Damage& damage) {
    reason = damage.reason;
  }
  throw Error(ErrorKind::kInternal, "cannot write", sink.name(), "tensor " + tensor.name + " " + reason);
}

}  // namespace

TrainStateFile::TrainStateFile(const std::string& path) : file_(path) {
  check_metadata(file_.metadata(), path);
  check_sum(file_);
  check_header(file_, file_.bytes());
  description_ = parse_json(file_.metadata().at(kDescriptionKey), path);
  if (!description_.is_object()) refuse(ErrorKind::kData, path, "is a state whose description is no object");
}

bool is_train_state(const Metadata& metadata) {
  const auto format = metadata.find(kFormatKey);
  return (format != metadata.end() && format->second == kTrainStateFormat) ||
         (metadata.contains(kDescriptionKey) && metadata.contains(kChecksumKey));
}

void write_train_state(Sink& sink, const Json& description, std::span<const StateTensor> tensors) {
  std::vector<const StateTensor*> sorted;
  for (const StateTensor& tensor : tensors) sorted.push_back(&tensor);
  std::sort(sorted.begin(), sorted.end(), [](const StateTensor* a, const StateTensor* b) { return a->name < b->name; });

  const std::string version = std::to_string(kTrainStateVersion), text = description_text(description, sink);
  StateChecksum checksum(version, text);
  std::vector<SafetensorsWriter::Entry> entries;
  for (const StateTensor* tensor : sorted) {
    check_size(*tensor, sink);
    checksum.add(tensor->name, tensor->dtype, tensor->shape, tensor->bytes);
    entries.push_back({tensor->name, tensor->dtype, tensor->shape, tensor->bytes.size()});
  }
  SafetensorsWriter writer(
      sink, std::move(entries),
      {{kFormatKey, kTrainStateFormat}, {kVersionKey, version}, {kDescriptionKey, text}, {kChecksumKey, checksum.hex()}});
  for (const StateTensor* tensor : sorted) writer.write(tensor->bytes);
  writer.finish();
}

}  // namespace uio
