// A run between two steps: where it is, what it was asked to do, and how that becomes a state file and is taken up again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/train_state.h"
#include "train/optimiser.h"
#include "train/parameters.h"
#include "train/settings.h"

namespace uio {

struct Progress {
  std::uint64_t step = 0;            // made so far
  std::uint64_t schedule_begin = 0;  // step at which the rate's schedule began
  std::uint64_t documents = 0, tokens = 0;
  std::vector<std::uint64_t> counts;  // pieces drawn from each corpus
};

// Writes the state atomically to `path`.
void save_state(const std::string& path, const Progress& progress, const RunSettings& settings, const Parameters& parameters, Optimiser& optimiser);

// Reads progress, weights and moments; the settings are compared by the caller. Throws Error{kMismatch} for tensors that are not the run's.
Progress progress_of(const TrainStateFile& file);
void load_weights(const TrainStateFile& file, const Parameters& parameters, Optimiser& optimiser, const std::string& path);

}  // namespace uio
