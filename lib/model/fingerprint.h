// Who a memory belongs to: hashes of weights + configuration, and of adapters. Torch-free.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "model/checkpoint.h"
#include "model/config.h"

namespace uio {

// SHA-256 over `description` and, in name order, each tensor's name, dtype, shape and the SHA-256 of its bytes; the same for
// one file or many. `threads` tensors are hashed at a time.
std::string fingerprint_of(const std::string& description, const std::map<std::string, TensorView>& tensors, int threads);

// The fingerprint of a base model. Hashing is done once: the result is remembered in `cache_dir`/fingerprints under the
// (path, size, modification time, inode) of every file, unless a file is younger than two seconds (it may still change unseen).
// An unwritable or damaged cache only costs the time to hash again. Empty `cache_dir`: no cache.
std::string model_fingerprint(const Checkpoint& checkpoint, const ModelConfig& config, const std::string& cache_dir, int threads);
// The same where it is remembered: reads no weights.
std::optional<std::string> remembered_fingerprint(const Checkpoint& checkpoint, const ModelConfig& config, const std::string& cache_dir);

}  // namespace uio
