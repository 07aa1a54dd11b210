// Which documents are computed side by side: a small one alone would leave the products too narrow to run at full speed.
#pragma once

#include <cstdint>
#include <vector>

#include "train/plan.h"

namespace uio {

// Documents of one shape, and the number of each in the run.
struct Batch {
  std::vector<Document> documents;
  std::vector<std::uint64_t> numbers;
};

// How many texts of so many tokens make enough rows for products at full speed; ≥ 1.
std::int64_t texts_at_once(std::int64_t tokens);

// The picked pieces by shape, longest first, so that little is filled up. `asked`: how many go side by side; 0: as many as make a
// product's rows enough, of texts of about one length.
std::vector<Batch> batches_of(const std::vector<DataOrder::Pick>& picks, const std::vector<Corpus>& corpora, const PlanSettings& settings, std::int64_t asked);

}  // namespace uio
