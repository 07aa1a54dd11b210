#include "io/memory_window.h"

#include <algorithm>

#include "base/error.h"
#include "io/json.h"
#include "io/limits.h"
#include "io/path.h"

namespace uio {
namespace {

constexpr std::uint64_t kDefaultTail = 1024;  // of LongLlamaConfig

std::string config_of(const std::string& model) { return model + "/config.json"; }

bool has_memory_layers(const std::string& model) {
  if (!path_exists(config_of(model))) return false;
  const Json config = read_json(config_of(model));
  return config.is_object() && config.contains("mem_layers") && config.at("mem_layers").is_array() && !config.at("mem_layers").empty();
}

}  // namespace

MemoryWindow read_memory_window(const std::string& model, std::uint32_t length) {
  const std::string path = config_of(model);
  const Json config = read_json(path);
  const auto number = [&](const char* key) -> std::uint64_t {
    if (!config.is_object() || !config.contains(key) || config.at(key).is_null()) return 0;
    const Json& value = config.at(key);
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() == 0)
      throw Error(ErrorKind::kData, "bad configuration", path, std::string("key '") + key + "' is " + value.dump().substr(0, 80) + ", expected a number of tokens");
    return value.get<std::uint64_t>();
  };
  const std::uint64_t positions = number("max_position_embeddings"), tail = number("last_context_length");
  if (positions == 0)
    throw Error(ErrorKind::kData, "bad configuration", path, "key 'max_position_embeddings' is missing: it is the window of the memory layers");
  if (length > positions || length > kLargestSize)
    throw Error(ErrorKind::kMismatch, "window too long for the model", model,
                std::to_string(length) + " tokens, " + std::to_string(std::min(positions, kLargestSize)) + " fit");
  if (tail > positions)
    throw Error(ErrorKind::kMismatch, "unsupported model", path,
                "'last_context_length' is " + std::to_string(tail) + ", the model has " + std::to_string(positions) + " positions");
  // A memory has as many rows as its window has tokens, which records bound.
  const std::uint64_t window = length > 0 ? length : std::min(positions, kLargestSize);
  return {static_cast<std::uint32_t>(window),
          static_cast<std::uint32_t>(std::min(window, tail > 0 ? tail : std::min(kDefaultTail, std::max<std::uint64_t>(1, window / 2))))};
}

std::string choose_method(const ModelChoice& choice) {
  if (!choice.method.empty()) return choice.method;
  if (!choice.memory_layers.empty()) return "fot";
  return choice.adapter.empty() && has_memory_layers(choice.model) ? "fot" : "";
}

}  // namespace uio
