#include "search/link_index.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>
#include <utility>

#include "kernels/best.h"
#include "kernels/rows.h"

namespace uio {
namespace {

// On 1,052,975 real keys they found 0.95 of the nearest 128: tests/bench/results.
constexpr double kDoors = 32;                               // times the root of the number of keys
constexpr std::int64_t kDoorItems = std::int64_t{1} << 21;  // numbers of the doors of one head, at most
constexpr std::int64_t kBegin = 32;                         // doors where a walk begins
constexpr std::int64_t kHeld = 448;                         // keys that it holds at once
constexpr int kFollowed = 32;                               // keys whose links it follows at once
constexpr std::int64_t kDoorsAtOnce = 512, kQueries = 32;   // a block of scores: 64 KB

}  // namespace

LinkIndex::LinkIndex(std::shared_ptr<const KeyIndexFile> file, std::int64_t probe) : file_(std::move(file)) {
  const KeyIndexHeader& header = file_->header();
  rows_ = static_cast<std::int64_t>(header.rows), size_ = header.head_size, links_ = header.links;
  if (links_ < 1) file_->fail("has no links");
  if (rows_ > std::numeric_limits<std::int32_t>::max()) file_->fail("has more keys than links can name");
  const std::int64_t most = std::min(rows_, std::max<std::int64_t>(kBegin, kDoorItems / size_));
  const std::int64_t doors = std::clamp(static_cast<std::int64_t>(kDoors * std::sqrt(static_cast<double>(rows_))), std::int64_t{1}, most);
  for (std::int64_t i = 0; i < doors; ++i) doors_.push_back(static_cast<std::int32_t>(i * rows_ / doors));
  probe_ = probe > 0 ? probe : kHeld;
  for (std::uint32_t layer = 0; layer < header.layers; ++layer)
    for (std::uint32_t head = 0; head < header.heads; ++head) heads_.push_back(read_head(layer, head));
}

LinkIndex::Head LinkIndex::read_head(std::uint32_t layer, std::uint32_t number) const {
  Head head;
  head.ids = file_->ids(layer, number);
  head.links = file_->array<std::int32_t>(layer, number, KeyArray::kLinks, static_cast<std::uint64_t>(rows_ * links_));
  for (const std::int32_t link : head.links)
    if (link < -1 || link >= rows_) file_->fail("has a link to a key that is not one");
  head.codes = file_->array<std::int8_t>(layer, number, KeyArray::kCodes, static_cast<std::uint64_t>(rows_ * size_));
  head.scales = file_->array<float>(layer, number, KeyArray::kScales, static_cast<std::uint64_t>(rows_));
  for (const std::int32_t door : doors_) {
    std::copy_n(head.codes.begin() + door * size_, size_, std::back_inserter(head.door_codes));
    head.door_scales.push_back(head.scales[static_cast<std::size_t>(door)]);
  }
  return head;
}

// The places of the best kBegin doors of each query, the best first: none for a query that is not a number.
std::vector<std::vector<std::int32_t>> LinkIndex::choose_doors(const Head& head, const WholeRows& asking) const {
  const auto total = static_cast<std::int64_t>(doors_.size()), queries = static_cast<std::int64_t>(asking.scales.size());
  std::vector<kernels::Best<float>> best(asking.scales.size());
  std::vector<float> scores(static_cast<std::size_t>(std::min(queries, kQueries) * kDoorsAtOnce));
  for (std::int64_t begin = 0; begin < total; begin += kDoorsAtOnce) {
    const std::int64_t some = std::min(kDoorsAtOnce, total - begin);
    for (std::int64_t first = 0; first < queries; first += kQueries) {
      const std::int64_t count = std::min(kQueries, queries - first);
      kernels::row_kernels().products_i8(head.door_codes.data() + begin * size_, head.door_scales.data() + begin, asking.numbers.data() + first * size_,
                                         asking.scales.data() + first, scores.data(), some, size_, count);
      for (std::int64_t i = 0; i < count; ++i) best[static_cast<std::size_t>(first + i)].show(scores.data() + i * some, some, begin, kBegin);
    }
  }
  std::vector<std::vector<std::int32_t>> doors(best.size());
  for (std::size_t i = 0; i < best.size(); ++i) {
    std::int64_t found[kBegin];
    float order[kBegin];
    best[i].write(order, found, kBegin, kBegin);
    for (const std::int64_t door : found)
      if (door >= 0) doors[i].push_back(doors_[static_cast<std::size_t>(door)]);
  }
  return doors;
}

namespace {

// Which places a search has met: a bit for each, of the thread, from search to search, of any index; and a list of them.
class Met {
 public:
  // A new search among `rows` places has met none.
  void begin(std::int64_t rows) {
    for (std::size_t i = 0; i < count_; ++i) words_[static_cast<std::size_t>(places_[i] / 64)] = 0;
    count_ = last_ = 0;
    if (static_cast<std::int64_t>(words_.size()) * 64 < rows) words_.resize(static_cast<std::size_t>((rows + 63) / 64));
  }
  // Of these places those that it has not met; without a branch, that most would take by surprise.
  void add(std::span<const std::int32_t> places) {
    if (places_.size() < count_ + places.size()) places_.resize(2 * count_ + places.size());
    for (const std::int32_t place : places) {
      std::uint64_t& word = words_[static_cast<std::size_t>(place / 64)];
      const std::uint64_t bit = std::uint64_t{1} << (place % 64);
      places_[count_] = place;
      count_ += (word & bit) == 0;
      word |= bit;
    }
  }
  // Those added since the last call.
  std::span<const std::int32_t> take() {
    const std::size_t first = std::exchange(last_, count_);
    return std::span(places_).subspan(first, count_ - first);
  }
  std::size_t count() const { return count_; }

 private:
  std::vector<std::uint64_t> words_;
  std::vector<std::int32_t> places_;  // the first count_ of them
  std::size_t count_ = 0, last_ = 0;
};
thread_local Met met;

}  // namespace

// Searches of one matrix by one thread.
class LinkIndex::Walk {
 public:
  Walk(const LinkIndex& index, const Head& head) : index_(index), head_(head), met_(met) {}

  // From those doors on; writes the best `most` keys that were met, −1 behind them. At least as many are held.
  void search(const std::int16_t* query, float scale, std::span<const std::int32_t> doors, std::size_t held, std::int64_t* to, std::int64_t most) {
    met_.begin(index_.rows_);
    held_.clear(), first_ = 0;
    met_.add(doors);
    for (std::span<const std::int32_t> places = met_.take(); !places.empty() || first_ < held_.size(); places = met_.take()) {
      meet(places, query, scale, held);
      follow();
    }
    index_.file_->read(met_.count() * static_cast<std::size_t>(index_.size_ + 4) + held_.size() * static_cast<std::size_t>(index_.links_ * 4));
    const auto found = std::min(held_.size(), static_cast<std::size_t>(most));
    for (std::size_t i = 0; i < found; ++i) to[i] = head_.ids[static_cast<std::size_t>(held_[i].place)];
    std::fill(to + found, to + most, -1);
  }

 private:
  struct Near {
    float score;
    std::int32_t place;
    bool is_followed;
  };

  // Scores the places, of which the best are held, in order.
  void meet(std::span<const std::int32_t> places, const std::int16_t* query, float scale, std::size_t held) {
    for (const std::int32_t place : places) {
      __builtin_prefetch(head_.codes.data() + place * index_.size_);
      __builtin_prefetch(&head_.scales[static_cast<std::size_t>(place)]);
    }
    if (scores_.size() < places.size()) scores_.resize(places.size());
    kernels::row_kernels().matvec_named_i8(head_.codes.data(), head_.scales.data(), places.data(), query, scale, scores_.data(),
                                           static_cast<std::int64_t>(places.size()), index_.size_);
    const bool is_full = held_.size() == held;
    better_.clear();
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (!(is_full ? scores_[i] > held_.back().score : scores_[i] == scores_[i])) continue;
      better_.push_back({scores_[i], places[i], false});
      __builtin_prefetch(links_of(places[i]));
    }
    std::ranges::sort(better_, [](const Near& a, const Near& b) { return a.score > b.score; });
    // From the worst on: what is too much, then each to its place.
    std::size_t old = held_.size(), fresh = better_.size();
    const auto is_old_worse = [&] { return old > 0 && held_[old - 1].score < better_[fresh - 1].score; };
    while (old + fresh > held) --(is_old_worse() ? old : fresh);
    held_.resize(old + fresh);
    for (std::size_t place = held_.size(); fresh > 0; held_[place] = is_old_worse() ? held_[--old] : better_[--fresh]) --place;
    first_ = std::min(first_, old);  // what is before it was there
  }

  // Meets what the best places link to that were not followed yet. Several at once, so that what is met comes from memory together.
  void follow() {
    for (int left = kFollowed; left > 0 && first_ < held_.size(); ++first_) {
      Near& here = held_[first_];
      if (here.is_followed) continue;
      here.is_followed = true, --left;
      const std::int32_t* const links = links_of(here.place);
      met_.add({links, std::find(links, links + index_.links_, -1)});
    }
  }

  const std::int32_t* links_of(std::int32_t place) const { return head_.links.data() + place * index_.links_; }

  const LinkIndex& index_;
  const Head& head_;
  Met& met_;
  std::vector<Near> held_, better_;
  std::size_t first_ = 0;  // of those held: those before were followed
  std::vector<float> scores_;
};

kernels::Found LinkIndex::find(std::int64_t layer, const at::Tensor& given, std::int64_t groups, const kernels::FarRows& rows, std::int64_t begin, std::int64_t count) const {
  const at::Tensor queries = given.to(at::kFloat).contiguous();
  const std::int64_t a_matrix = queries.size(1) / groups * queries.size(2), most = std::min(rows_, candidates_for(count));
  const auto held = static_cast<std::size_t>(std::max(probe_, most));
  const at::Tensor candidates = at::empty({1, queries.size(1), queries.size(2), most}, at::kLong);
  const std::int64_t pieces = std::clamp<std::int64_t>(a_matrix / 64, 1, at::get_num_threads());
  at::parallel_for(0, groups * pieces, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t task = first; task < last; ++task) {
      const std::int64_t matrix = task / pieces, low = a_matrix * (task % pieces) / pieces, high = a_matrix * (task % pieces + 1) / pieces;
      const Head& head = heads_[static_cast<std::size_t>(layer * groups + matrix)];
      const WholeRows asking(queries.const_data_ptr<float>() + (matrix * a_matrix + low) * size_, high - low, size_);
      const std::vector<std::vector<std::int32_t>> doors = choose_doors(head, asking);
      Walk walk(*this, head);
      // Walks that begin near each other come behind each other: what one has read is still in the cache for the next.
      std::vector<std::int64_t> order(doors.size());
      std::iota(order.begin(), order.end(), 0);
      std::ranges::stable_sort(order, {}, [&](std::int64_t i) { return doors[static_cast<std::size_t>(i)].empty() ? -1 : doors[static_cast<std::size_t>(i)].front(); });
      for (const std::int64_t i : order)
        walk.search(asking.numbers.data() + i * size_, asking.scales[static_cast<std::size_t>(i)], doors[static_cast<std::size_t>(i)], held,
                    candidates.mutable_data_ptr<std::int64_t>() + (matrix * a_matrix + low + i) * most, most);
    }
  });
  return score_again(given, groups, rows, candidates, begin, count);
}

}  // namespace uio
