#include "memory/blob.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "base/error.h"
#include "io/file.h"
#include "io/stream.h"
#include "kernels/policy.h"
#include "memory/memory_tensor.h"

namespace uio {
namespace {

void check_tokenizer(const Segment& segment, const std::string& tokenizer) {
  if (segment.tokenizer != tokenizer)
    throw Error(ErrorKind::kMismatch, "segment belongs to another tokenizer", segment.span.document,
                "made with " + segment.tokenizer + ", this one is " + tokenizer);
}

// Null where a memory does not lie in rows.
std::shared_ptr<const Blob> read_stored_blob(const std::string& path, const Ready& ready) {
  const std::string& tokenizer = ready.tokenizer->fingerprint();
  auto blob = std::make_shared<Blob>();
  const auto stored = read_stored_memory(path, [&](RecordReader& reader) {
    blob->provenance = reader.provenance();
    blob->records.push_back(reader.header());
    if (const auto* memory = std::get_if<Memory>(&blob->records.back())) {
      check_record(*memory, *ready.model, tokenizer, ready.method.get());
      blob->positions += memory->memory_length;
      return;
    }
    blob->records.back() = reader.decode();
    const auto& segment = std::get<Segment>(blob->records.back());
    check_tokenizer(segment, tokenizer);
    blob->positions += static_cast<std::int64_t>(segment.tokens.size());
  });
  if (!stored) return nullptr;
  const WindowSettings& settings = ready.method->adapter().window;
  if (settings.search.by_index && stored->rows.count() > 0)
    stored->index = open_key_index(key_index_path(path), stored->fingerprint, stored->rows, settings.search.probe);
  blob->stored = stored;
  return blob;
}

// Whether memories of the file are to stay there.
bool is_searched(const std::string& path, const Ready& ready) {
  return ready.method && ready.method->adapter().window.search.nearest > 0 && ready.model->placement().device.is_cpu() && !kernels::is_reference_forced() &&
         !file_identity(path).empty();
}

}  // namespace

std::shared_ptr<const Blob> read_blob(const std::string& path, const Ready& ready, bool keep_bytes) {
  const bool needs_index = ready.method && ready.method->adapter().window.search.by_index;
  if (!keep_bytes && is_searched(path, ready))
    if (auto blob = read_stored_blob(path, ready)) return blob;
  if (needs_index)
    throw Error(ErrorKind::kUsage, "memories cannot be searched with an index", path,
                keep_bytes ? "they are to be saved again" : "they do not lie as rows in a file that is searched by the CPU",
                keep_bytes ? "" : "uio-compress --level 0 -o FILE writes them so");
  const std::string& tokenizer = ready.tokenizer->fingerprint();
  const auto device = ready.model->placement().device;
  auto blob = std::make_shared<Blob>();
  const auto source = open_source(path);
  RecordReader reader(*source);
  while (auto record = reader.next()) {
    if (auto* memory = std::get_if<Memory>(&*record)) {
      const KeysValues kv = from_record(*memory, *ready.model, tokenizer, ready.method.get());
      blob->memories.push_back({kv.keys.to(device), kv.values.to(device)});
      blob->positions += memory->memory_length;
      blob->bytes += kv.keys.nbytes() + kv.values.nbytes();
      if (!keep_bytes) memory->keys = memory->values = {};
    } else {
      const auto& segment = std::get<Segment>(*record);
      check_tokenizer(segment, tokenizer);
      blob->positions += static_cast<std::int64_t>(segment.tokens.size());
    }
    blob->records.push_back(std::move(*record));
  }
  blob->provenance = reader.provenance();
  return blob;
}

void for_each_memory(const Blob& blob, const std::function<void(const KeysValues&)>& visit_memory,
                     const std::function<void(const std::shared_ptr<const StoredMemory>&, std::int64_t rows)>& visit_stored,
                     const std::function<void(const Segment&)>& visit_segment) {
  std::size_t next = 0;
  for (const Record& record : blob.records) {
    const auto* memory = std::get_if<Memory>(&record);
    if (!memory) visit_segment(std::get<Segment>(record));
    else if (blob.stored) visit_stored(blob.stored, memory->memory_length);
    else visit_memory(blob.memories[next++]);
  }
}

std::shared_ptr<const Blob> BlobCache::get(const std::string& path) {
  const std::string identity = file_identity(path);
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.path == path; });
  if (found != entries_.end()) {
    if (!identity.empty() && found->identity == identity) {
      entries_.splice(entries_.begin(), entries_, found);
      return found->blob;
    }
    entries_.erase(found);
  }
  const std::shared_ptr<const Blob> blob = read_blob(path, ready_, false);
  if (identity.empty()) return blob;
  entries_.push_front({path, identity, blob});
  std::uint64_t bytes = 0;
  const auto too_many = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return (bytes += entry.blob->bytes) > most_bytes_; });
  entries_.erase(too_many, entries_.end());
  return blob;
}

}  // namespace uio
