// How much memory the weights of a checkpoint come to take, from what will be read of them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/model.h"

namespace uio {

struct WeightUse {
  bool is_hashed = false;                               // every byte is read for the fingerprint, which is not remembered
  std::function<bool(const std::string& name)> reads;  // whether the computation reads that weight
  std::vector<bool> ids;                                // [V] tokens whose rows of the embedding it reads
};

// Resident bytes of the model in `directory` on the CPU: of its mapped files the pages that are read, and weights of another dtype than
// `placement` asks for once more, converted. Reads no weights. Throws what Checkpoint throws.
std::uint64_t resident_weights(const std::string& directory, const ModelConfig& config, const Placement& placement, const WeightUse& use);

}  // namespace uio
