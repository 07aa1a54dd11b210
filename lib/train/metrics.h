// What a run reports: one JSON object a line.
#pragma once

#include "io/json.h"
#include "train/document.h"

namespace uio {

// What a line says of a tally: nll, and buckets, {"from","to","n","loss"} for each range of positions that has tokens; repeat_nll and
// text_nll where such passes were made. Means are of −log p per token; null where there is none.
void add_losses(Json& line, const LossTally& tally);
// A tally as numbers, as many for each, so that those of several processes can be added; and back.
std::vector<double> numbers_of(const LossTally& tally);
LossTally tally_of(const std::vector<double>& numbers);

}  // namespace uio
