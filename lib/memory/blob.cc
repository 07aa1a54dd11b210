#include "memory/blob.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "base/error.h"
#include "io/file.h"
#include "io/stream.h"
#include "memory/memory_tensor.h"

namespace uio {

std::shared_ptr<const Blob> read_blob(const std::string& path, const Ready& ready, bool keep_bytes) {
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
      if (segment.tokenizer != tokenizer)
        throw Error(ErrorKind::kMismatch, "segment belongs to another tokenizer", segment.span.document,
                    "made with " + segment.tokenizer + ", this one is " + tokenizer);
      blob->positions += static_cast<std::int64_t>(segment.tokens.size());
    }
    blob->records.push_back(std::move(*record));
  }
  blob->provenance = reader.provenance();
  return blob;
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
