// What is in a file, as JSON: one object a record of a stream, one for other files (uio-inspect(1), OUTPUT).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/json.h"
#include "io/record.h"
#include "io/safetensors.h"
#include "io/train_state.h"

namespace uio {

// The fields of the record's header; a segment that has tokens and weights shows them only with `with_tokens`. `scored`: how
// many of its tokens have a weight that is not 0; nothing where they have no weights.
Json describe_record(const Record& record, std::uint32_t token_count, std::optional<std::uint32_t> scored, bool with_tokens);
Json describe_provenance(const Provenance& provenance);
Json describe_safetensors(const SafetensorsFile& file);
// An adapter's directory: its configuration and its tensors. Throws Error where one of the two cannot be read.
Json describe_adapter(const std::string& directory);

// A state of uio-train-step without its tensors, and one of those.
Json describe_train_state(const TrainStateFile& file, const std::string& path);
Json describe_state_tensor(const std::string& name, const TensorView& tensor);

// Adds the id of a document under `key`; one that is not UTF-8 also as `key`_hex, since JSON cannot say it.
void add_document(Json& object, const std::string& key, const std::string& document);

}  // namespace uio
