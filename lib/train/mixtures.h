// What windows see in CrossBatch training (arXiv 2307.03170), step by step: the schedule of --crossbatch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/jobs.h"

namespace uio {

// The mixtures that the step after the first `step` deals to its documents in turn; drawn from `seed` where there is a choice.
const std::vector<Mixture>& mixtures_at(const std::vector<CrossPhase>& schedule, std::uint64_t seed, std::uint64_t step);

// How many windows one sees, on average over the mixtures; fewer near the beginning of documents.
double mean_of(const std::vector<Mixture>& mixtures);

// As --crossbatch takes them. Equal schedules have equal texts.
std::string text_of(const std::vector<Mixture>& mixtures);
std::string text_of(const std::vector<CrossPhase>& schedule);

}  // namespace uio
