#include "train/metrics.h"

#include <sys/resource.h>

namespace uio {

Json mean_of(const LossTally::Part& part) { return part.n > 0 ? Json(part.sum / static_cast<double>(part.n)) : Json(); }

Json buckets_of(const LossTally& tally) {
  Json buckets = Json::array();
  std::int64_t from = 0, to = 256;
  for (const LossTally::Part& part : tally.by_position) {
    if (part.n > 0) buckets.push_back({{"from", from}, {"to", to}, {"n", part.n}, {"loss", mean_of(part)}});
    from = to;
    to *= 2;
  }
  return buckets;
}

std::uint64_t peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace uio
