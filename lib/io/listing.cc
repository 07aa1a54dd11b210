#include "io/listing.h"

#include "base/hex.h"
#include "base/utf8_sequence.h"

namespace uio {
namespace {

Json describe_span(const Span& span) {
  Json object = {{"segment", span.segment},
                 {"first_token", span.first_token},
                 {"byte_begin", span.byte_begin},
                 {"byte_end", span.byte_end},
                 {"is_last", span.is_last}};
  add_document(object, "id", span.document);
  return object;
}

Json describe(const Segment& segment, std::uint32_t token_count, std::optional<std::uint32_t> scored, bool with_tokens) {
  Json object = describe_span(segment.span);
  object["kind"] = "segment";
  object["tokenizer"] = segment.tokenizer;
  object["segment_length"] = segment.segment_length;
  object["is_closed"] = segment.is_closed;
  object["is_full"] = segment.is_closed || token_count == segment.segment_length;
  object["token_count"] = token_count;
  if (scored) object["scored"] = *scored;
  if (with_tokens) object["tokens"] = segment.tokens;
  if (with_tokens && scored) object["weights"] = segment.weights;
  return object;
}

Json describe(const Memory& memory, std::uint32_t token_count, std::optional<std::uint32_t>, bool with_tokens) {
  Json object = describe_span(memory.span);
  object["kind"] = "memory";
  object["base"] = memory.base;
  object["tokenizer"] = memory.tokenizer;
  object["adapter"] = memory.adapter;
  object["token_hash"] = memory.token_hash;
  object["method"] = memory.method;
  object["positions"] = memory.positions;
  object["form"] = name_of(memory.form);
  object["precision"] = name_of(memory.precision);
  object["dtype"] = name_of(memory.dtype);
  if (memory.layout == Layout::kRows) object["layout"] = name_of(memory.layout);
  object["layers"] = memory.layers;
  object["kv_heads"] = memory.kv_heads;
  object["head_size"] = memory.head_size;
  object["memory_length"] = memory.memory_length;
  object["segment_length"] = memory.segment_length;
  object["token_count"] = token_count;
  if (memory.has_tokens) object["has_tokens"] = true;
  if (with_tokens && memory.has_tokens) object["tokens"] = memory.tokens;
  if (memory.precision != Precision::kExact) {
    object["key_error"] = memory.key_error.largest;
    object["key_rms_error"] = memory.key_error.rms;
    if (memory.form == Form::kKv) {
      object["value_error"] = memory.value_error.largest;
      object["value_rms_error"] = memory.value_error.rms;
    }
  }
  return object;
}

// The reader has checked that the product does not overflow.
std::uint64_t count_values(const TensorView& tensor) {
  std::uint64_t count = 1;
  for (const std::int64_t size : tensor.shape) count *= static_cast<std::uint64_t>(size);
  return count;
}

}  // namespace

void add_document(Json& object, const std::string& key, const std::string& document) {
  object[key] = document;
  if (!is_utf8(document)) object[key + "_hex"] = to_hex(std::as_bytes(std::span(document)));
}

Json describe_record(const Record& record, std::uint32_t token_count, std::optional<std::uint32_t> scored, bool with_tokens) {
  return std::visit([&](const auto& value) { return describe(value, token_count, scored, with_tokens); }, record);
}

Json describe_provenance(const Provenance& provenance) {
  Json stages = Json::array();
  for (const Stage& stage : provenance) {
    Json options = Json::object();
    for (const auto& [name, value] : stage.options) options[name] = value;
    stages.push_back({{"program", stage.program}, {"version", stage.version}, {"options", options}});
  }
  return stages;
}

Json describe_safetensors(const SafetensorsFile& file) {
  Json tensors = Json::array();
  for (const auto& [name, tensor] : file.tensors()) {
    tensors.push_back({{"name", name}, {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"bytes", tensor.bytes.size()}});
  }
  return {{"kind", "safetensors"}, {"file", file.path()}, {"tensors", tensors}, {"metadata", file.metadata()}};
}

Json describe_train_state(const TrainStateFile& file, const std::string& path) {
  std::uint64_t values = 0;
  for (const auto& [name, tensor] : file.tensors()) values += count_values(tensor);
  return {{"kind", "train_state"},
          {"file", path},
          {"format", kTrainStateFormat},
          {"version", kTrainStateVersion},
          {"description", file.description()},
          {"tensors", file.tensors().size()},
          {"values", values}};
}

Json describe_state_tensor(const std::string& name, const TensorView& tensor) {
  return {{"kind", "tensor"}, {"tensor", name}, {"dtype", tensor.dtype}, {"shape", tensor.shape}};
}

Json describe_adapter(const std::string& directory) {
  Json object = describe_safetensors(SafetensorsFile(directory + "/adapter_model.safetensors"));
  object["kind"] = "adapter";
  object["file"] = directory;
  object["config"] = read_json(directory + "/adapter_config.json");
  return object;
}

}  // namespace uio
