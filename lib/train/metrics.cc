#include "train/metrics.h"

namespace uio {
namespace {

constexpr std::size_t kPositions = 56;  // buckets; with 55 doublings they hold all positions that a number can count

Json mean_of(const LossTally::Part& part) { return part.n > 0 ? Json(part.sum / static_cast<double>(part.n)) : Json(); }

Json buckets_of(const LossTally& tally) {
  Json buckets = Json::array();
  std::int64_t from = 0, to = LossTally::kFirstBucket;
  for (const LossTally::Part& part : tally.by_position) {
    if (part.n > 0) buckets.push_back({{"from", from}, {"to", to}, {"n", part.n}, {"loss", mean_of(part)}});
    from = to;
    to *= 2;
  }
  return buckets;
}

}  // namespace

void add_losses(Json& line, const LossTally& tally) {
  line["nll"] = mean_of(tally.next);
  line["buckets"] = buckets_of(tally);
  if (tally.repeat.n > 0) line["repeat_nll"] = mean_of(tally.repeat);
  if (tally.text.n > 0) line["text_nll"] = mean_of(tally.text);
}

std::vector<double> numbers_of(const LossTally& tally) {
  std::vector<double> numbers;
  const auto put = [&](const LossTally::Part& part) { numbers.insert(numbers.end(), {part.sum, static_cast<double>(part.n)}); };
  put(tally.next);
  put(tally.repeat);
  put(tally.text);
  for (std::size_t i = 0; i < kPositions; ++i) put(i < tally.by_position.size() ? tally.by_position[i] : LossTally::Part{});
  return numbers;
}

LossTally tally_of(const std::vector<double>& numbers) {
  const double* at = numbers.data();
  const auto take = [&] {
    const LossTally::Part part{at[0], static_cast<std::int64_t>(at[1])};
    at += 2;
    return part;
  };
  LossTally tally;
  tally.next = take();
  tally.repeat = take();
  tally.text = take();
  for (std::size_t i = 0; i < kPositions; ++i) tally.by_position.push_back(take());
  while (!tally.by_position.empty() && tally.by_position.back().n == 0) tally.by_position.pop_back();
  return tally;
}

}  // namespace uio
