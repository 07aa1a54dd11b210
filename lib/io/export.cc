#include "io/export.h"

#include <sys/stat.h>

#include <optional>

#include "io/index.h"
#include "io/memory_codec.h"
#include "io/safetensors.h"
#include "io/stream.h"

namespace uio {
namespace {

constexpr std::size_t kMostHeldBytes = std::size_t{4} << 30;

// All bytes of an input, so that it can be read twice.
class WholeInput {
 public:
  explicit WholeInput(const std::string& path) : name_(path) {
    struct stat status;
    if (path != "-" && ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
      mapped_.emplace(path);
    } else {
      held_ = read_all(*open_source(path), kMostHeldBytes);
    }
  }
  std::span<const std::byte> bytes() const { return mapped_ ? mapped_->bytes() : std::as_bytes(std::span(held_)); }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  std::optional<MappedFile> mapped_;
  std::string held_;
};

// A memory that is to be written, and where it is.
struct Chosen {
  const WholeInput* input;
  IndexEntry entry;
};

std::uint64_t layer_bytes(const Memory& memory) { return key_bytes(memory) / memory.layers; }

void declare_tensors(const Memory& memory, std::vector<SafetensorsWriter::Entry>& entries) {
  const std::string prefix = memory.span.document + "/" + std::to_string(memory.span.segment) + "/";
  for (std::uint32_t layer = 0; layer < memory.layers; ++layer) {
    const auto declare = [&](const char* what, std::vector<std::int64_t> shape) {
      entries.push_back({prefix + std::to_string(layer) + "/" + what, safetensors_name(memory.dtype), std::move(shape),
                         layer_bytes(memory)});
    };
    if (memory.form == Form::kHidden) {
      declare("hidden", {memory.memory_length, memory.head_size});
    } else {
      declare("key", {memory.kv_heads, memory.memory_length, memory.head_size});
      declare("value", {memory.kv_heads, memory.memory_length, memory.head_size});
    }
  }
}

void write_tensors(const Memory& memory, SafetensorsWriter& writer) {
  const std::uint64_t bytes = layer_bytes(memory);
  for (std::uint32_t layer = 0; layer < memory.layers; ++layer) {
    writer.write(std::span(memory.keys).subspan(layer * bytes, bytes));
    if (memory.form == Form::kKv) writer.write(std::span(memory.values).subspan(layer * bytes, bytes));
  }
}

}  // namespace

std::uint64_t export_tensors(const std::vector<std::string>& inputs, const Selection& selection, Sink& sink) {
  std::vector<std::unique_ptr<WholeInput>> files;
  std::vector<Chosen> chosen;
  std::vector<SafetensorsWriter::Entry> entries;
  for (const std::string& path : inputs) {
    const WholeInput& input = *files.emplace_back(std::make_unique<WholeInput>(path));
    const auto source = memory_source(input.bytes(), path);
    RecordReader reader(*source);
    while (const auto record = reader.next_header()) {
      const auto* memory = std::get_if<Memory>(&*record);
      if (memory == nullptr || !selection.contains(memory->span)) continue;
      chosen.push_back(
          {&input, {reader.frame_offset(), reader.frame_bytes(), memory->span.document, memory->span.segment, true}});
      declare_tensors(*memory, entries);
    }
  }
  SafetensorsWriter writer(sink, std::move(entries));
  for (const Chosen& one : chosen) {
    write_tensors(std::get<Memory>(read_indexed_record(one.input->bytes(), one.entry, one.input->name())), writer);
  }
  writer.finish();
  return chosen.size();
}

}  // namespace uio
