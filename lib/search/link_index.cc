#include "search/link_index.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>
#include <utility>

#include "kernels/rows.h"
#include "search/held_keys.h"
#include "search/widen.h"

namespace uio {
namespace {

// On 1,052,975 real keys they found 0.95 of the nearest 128: tests/bench/results.
constexpr double kDoors = 32;                               // times the root of the number of keys
constexpr std::int64_t kDoorItems = std::int64_t{1} << 21;  // numbers of the doors of one head, at most
constexpr std::int64_t kBegin = 32;                         // doors where a walk begins
constexpr std::int64_t kHeld = 512;                         // keys that it holds at once
constexpr std::size_t kLine = 16;                           // links of a line of the cache

}  // namespace

LinkIndex::LinkIndex(std::shared_ptr<const KeyIndexFile> file, const StoredRows& rows, std::int64_t probe) : file_(std::move(file)) {
  const KeyIndexHeader& header = file_->header();
  rows_ = static_cast<std::int64_t>(header.rows), size_ = header.head_size, links_ = header.links;
  if (links_ < 1) file_->fail("has no links");
  const std::int64_t doors = std::clamp(static_cast<std::int64_t>(kDoors * std::sqrt(static_cast<double>(rows_))), std::int64_t{1}, std::min(rows_, std::max<std::int64_t>(kBegin, kDoorItems / size_)));
  for (std::int64_t i = 0; i < doors; ++i) doors_.push_back(i * rows_ / doors);
  probe_ = probe > 0 ? probe : kHeld;
  for (std::uint32_t layer = 0; layer < header.layers; ++layer)
    for (std::uint32_t head = 0; head < header.heads; ++head) heads_.push_back(read_head(rows, layer, head));
}

LinkIndex::Head LinkIndex::read_head(const StoredRows& rows, std::uint32_t layer, std::uint32_t number) const {
  Head head;
  head.links = file_->array<std::int32_t>(layer, number, KeyArray::kLinks, static_cast<std::uint64_t>(rows_ * links_));
  for (const std::int32_t link : head.links)
    if (link < -1 || link >= rows_) file_->fail("has a link to a key that is not one");
  head.doors.resize(doors_.size() * static_cast<std::size_t>(size_));
  std::vector<std::byte> raw(head.doors.size() * item_bytes(rows.dtype()));
  rows.copy_named(Side::kKeys, layer, number, doors_, 0, raw);
  widen(raw.data(), rows.dtype(), static_cast<std::int64_t>(head.doors.size()), head.doors.data());
  return head;
}

std::span<const std::int32_t> LinkIndex::links_of(const Head& head, std::int64_t key) const {
  file_->read(static_cast<std::uint64_t>(links_) * sizeof(std::int32_t));
  return head.links.subspan(static_cast<std::size_t>(key * links_), static_cast<std::size_t>(links_));
}

namespace {

// Which keys a search has met: a table of the thread that goes from search to search, of any index.
class Met {
 public:
  // A new search among `rows` keys has met none.
  void begin(std::int64_t rows) {
    if (static_cast<std::int64_t>(last_.size()) < rows) last_.resize(static_cast<std::size_t>(rows));
    if (++search_ == 0) std::ranges::fill(last_, 0), search_ = 1;
  }
  void fetch(std::int64_t key) const { __builtin_prefetch(&last_[static_cast<std::size_t>(key)]); }
  bool add(std::int64_t key) { return std::exchange(last_[static_cast<std::size_t>(key)], search_) != search_; }

 private:
  std::vector<std::uint32_t> last_;  // of each key: the last search that met it
  std::uint32_t search_ = 0;
};
thread_local Met met;

}  // namespace

// Searches of one matrix by one thread.
class LinkIndex::Walk {
 public:
  Walk(const LinkIndex& index, const Head& head, const kernels::FarRows& rows, std::int64_t matrix, std::int64_t begin)
      : index_(index), head_(head), rows_(rows), met_(met), matrix_(matrix), begin_(begin), keys_(static_cast<std::size_t>(std::max(index.links_, kBegin) * index.size_)) {}

  // From those doors on; writes the best `most` keys that were met, −1 behind them.
  void search(const float* query, std::span<const std::int64_t> doors, std::int64_t held, std::int64_t* to, std::int64_t most) {
    query_ = query, held_ = held;
    met_.begin(index_.rows_);
    named_.clear();
    for (const std::int64_t door : doors) {
      if (door < 0) continue;  // a query that is not a number has none
      const std::int64_t key = index_.doors_[static_cast<std::size_t>(door)];
      met_.add(key), named_.push_back(begin_ + key);
    }
    meet();
    while (!next_.empty()) {
      const Near here = next_.top();
      next_.pop();
      if (is_full() && here.first < best_.top().first) break;
      const std::span<const std::int32_t> all = index_.links_of(head_, here.second - begin_), links(all.begin(), std::ranges::find(all, -1));
      for (const std::int32_t link : links) met_.fetch(link);
      named_.clear();
      for (const std::int32_t link : links)
        if (met_.add(link)) named_.push_back(begin_ + link);
      meet();
    }
    next_ = {};
    while (static_cast<std::int64_t>(best_.size()) > most) best_.pop();
    std::fill(to + best_.size(), to + most, -1);
    for (; !best_.empty(); best_.pop()) to[best_.size() - 1] = best_.top().second;
  }

 private:
  using Near = std::pair<float, std::int64_t>;  // score, row

  bool is_full() const { return static_cast<std::int64_t>(best_.size()) >= held_; }
  // Scores the rows named_, and holds those that are good enough.
  void meet() {
    rows_.named_keys(matrix_, named_, keys_.data());
    for (std::size_t i = 0; i < named_.size(); ++i) {
      const float score = kernels::row_kernels().dot(query_, keys_.data() + static_cast<std::int64_t>(i) * index_.size_, index_.size_);
      if (is_full() && !(score > best_.top().first)) continue;
      const std::span<const std::int32_t> links = index_.links_of(head_, named_[i] - begin_);
      for (std::size_t link = 0; link < links.size(); link += kLine) __builtin_prefetch(&links[link]);
      next_.emplace(score, named_[i]), best_.emplace(score, named_[i]);
      if (static_cast<std::int64_t>(best_.size()) > held_) best_.pop();
    }
  }

  const LinkIndex& index_;
  const Head& head_;
  const kernels::FarRows& rows_;
  Met& met_;
  std::int64_t matrix_, begin_, held_ = 0;
  const float* query_ = nullptr;
  std::vector<std::int64_t> named_;
  std::vector<float> keys_;                                            // of those
  std::priority_queue<Near> next_;                                     // the best first
  std::priority_queue<Near, std::vector<Near>, std::greater<>> best_;  // the worst first
};

kernels::Found LinkIndex::find(std::int64_t layer, const at::Tensor& given, std::int64_t groups, const kernels::FarRows& rows, std::int64_t begin, std::int64_t count) const {
  const at::Tensor queries = given.to(at::kFloat).contiguous();
  const std::int64_t a_matrix = queries.size(1) / groups * queries.size(2), most = std::min(rows_, count), all_doors = static_cast<std::int64_t>(doors_.size()), first_doors = std::min(all_doors, kBegin);
  const Head* const heads = &heads_[static_cast<std::size_t>(layer * groups)];
  std::vector<const float*> doors;
  for (std::int64_t g = 0; g < groups; ++g) doors.push_back(heads[g].doors.data());
  const at::Tensor begins = kernels::find_nearest(queries, groups, HeldKeys(std::move(doors), all_doors, size_), 0, all_doors, first_doors).index;
  at::Tensor candidates = at::empty({1, queries.size(1), queries.size(2), most}, at::kLong);
  const std::int64_t pieces = std::clamp<std::int64_t>(a_matrix / 64, 1, at::get_num_threads());
  at::parallel_for(0, groups * pieces, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t task = first; task < last; ++task) {
      const std::int64_t matrix = task / pieces, piece = task % pieces;
      Walk walk(*this, heads[matrix], rows, matrix, begin);
      for (std::int64_t query = matrix * a_matrix + a_matrix * piece / pieces; query < matrix * a_matrix + a_matrix * (piece + 1) / pieces; ++query)
        walk.search(queries.const_data_ptr<float>() + query * size_, std::span(begins.const_data_ptr<std::int64_t>() + query * first_doors, static_cast<std::size_t>(first_doors)),
                    std::max(probe_, most), candidates.mutable_data_ptr<std::int64_t>() + query * most, most);
    }
  });
  return kernels::rank_candidates(given, groups, rows, candidates, count);
}

}  // namespace uio
