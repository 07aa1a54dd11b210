#include "model/fingerprint.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <filesystem>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/hash.h"
#include "io/file.h"
#include "io/json.h"

namespace uio {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text.data(), text.size())); }

// What the cached fingerprint depends on, or nothing when a file cannot be trusted to stay as it is.
std::optional<std::string> cache_key(const Checkpoint& checkpoint, const std::string& description) {
  std::string key = "uio-fingerprint-1\n" + description;
  for (const std::string& file : checkpoint.files()) {
    struct stat status;
    std::error_code failed;
    const std::filesystem::path path = std::filesystem::canonical(file, failed);
    if (failed || ::stat(path.c_str(), &status) != 0) return std::nullopt;
    if (status.st_mtim.tv_sec + 2 > std::time(nullptr)) return std::nullopt;
    key += path.string() + '\0' + std::to_string(status.st_size) + '\0' + std::to_string(status.st_mtim.tv_sec) + '.' +
           std::to_string(status.st_mtim.tv_nsec) + '\0' + std::to_string(status.st_ino) + '\0' + std::to_string(status.st_dev) + '\n';
  }
  return key;
}

// Where it is or would be remembered, or nothing where it cannot be.
std::optional<std::string> memo_of(const Checkpoint& checkpoint, const ModelConfig& config, const std::string& cache_dir) {
  const std::optional<std::string> key = cache_dir.empty() ? std::nullopt : cache_key(checkpoint, canonical(config));
  if (!key) return std::nullopt;
  return cache_dir + "/fingerprints/" + sha256_hex(bytes_of(*key)) + ".json";
}

bool is_fingerprint(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

std::string fingerprint_of(const std::string& description, const std::map<std::string, TensorView>& tensors, int threads) {
  std::vector<const TensorView*> views;
  for (const auto& entry : tensors) views.push_back(&entry.second);
  std::vector<std::string> digests(views.size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i; (i = next++) < views.size();) digests[i] = sha256_hex(views[i]->bytes);
  };
  std::vector<std::jthread> helpers;
  for (int i = 1; i < threads; ++i) helpers.emplace_back(work);
  work();
  helpers.clear();

  Hasher hasher;
  hasher.add_field(description);
  std::size_t i = 0;
  for (const auto& [name, view] : tensors) {
    hasher.add_field(name);
    hasher.add_field(view.dtype);
    hasher.add_field(shape_text(view.shape));
    hasher.add_field(digests[i++]);
  }
  return hasher.hex();
}

std::optional<std::string> remembered_fingerprint(const Checkpoint& checkpoint, const ModelConfig& config, const std::string& cache_dir) {
  const std::optional<std::string> memo = memo_of(checkpoint, config, cache_dir);
  if (!memo) return std::nullopt;
  try {
    const Json known = read_json(*memo);
    if (known.is_object() && known.value("fingerprint", Json()).is_string() && is_fingerprint(known.at("fingerprint").get<std::string>()))
      return known.at("fingerprint").get<std::string>();
  } catch (const Error&) {  // not there, or damaged
  }
  return std::nullopt;
}

std::string model_fingerprint(const Checkpoint& checkpoint, const ModelConfig& config, const std::string& cache_dir, int threads) {
  if (const auto known = remembered_fingerprint(checkpoint, config, cache_dir)) return *known;
  const std::optional<std::string> memo = memo_of(checkpoint, config, cache_dir);
  std::map<std::string, TensorView> used;
  for (const auto& [name, view] : checkpoint.tensors()) {
    const bool is_tied_copy = config.tied_embeddings && name == "lm_head.weight";
    if (!is_tied_copy && !name.ends_with(".rotary_emb.inv_freq")) used.emplace(name, view);
  }
  const std::string fingerprint = fingerprint_of(canonical(config), used, threads);
  if (memo) {
    try {
      std::filesystem::create_directories(cache_dir + "/fingerprints");
      const auto sink = open_sink(*memo);
      sink->write(to_json_line(Json{{"fingerprint", fingerprint}}));
      sink->commit();
    } catch (const std::exception&) {  // a cache that cannot be written is no failure
    }
  }
  return fingerprint;
}

}  // namespace uio
