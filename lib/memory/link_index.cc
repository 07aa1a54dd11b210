#include "memory/link_index.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <queue>
#include <utility>

#include "kernels/rows.h"

namespace uio {

LinkIndex::LinkIndex(std::shared_ptr<const KeyIndexFile> file, std::int64_t probe) : file_(std::move(file)) {
  const KeyIndexHeader& header = file_->header();
  rows_ = static_cast<std::int64_t>(header.rows), links_ = header.links;
  if (links_ < 1) file_->fail("has no links");
  // Keys that are held at once, as many as are wanted at least: see tests/bench/results for what that finds.
  probe_ = probe > 0 ? probe : 256;
  for (std::uint32_t layer = 0; layer < header.layers; ++layer)
    for (std::uint32_t head = 0; head < header.heads; ++head) heads_.push_back(read_head(layer, head));
}

LinkIndex::Head LinkIndex::read_head(std::uint32_t layer, std::uint32_t number) const {
  Head head;
  head.starts = file_->array<std::uint64_t>(layer, number, KeyArray::kLinkStarts, static_cast<std::uint64_t>(rows_) + 1);
  head.links = file_->array<std::int32_t>(layer, number, KeyArray::kLinks);
  head.entry = file_->array<std::uint32_t>(layer, number, KeyArray::kEntry, 1)[0];
  const auto lowest = static_cast<std::uint64_t>(2 * links_), above = static_cast<std::uint64_t>(links_);
  if (head.starts.front() != 0 || head.starts.back() != head.links.size()) file_->fail("has links that do not follow each other");
  for (std::size_t i = 0; i + 1 < head.starts.size(); ++i) {
    const std::uint64_t begin = head.starts[i], end = head.starts[i + 1];
    if (end > head.links.size() || end < begin || end - begin < lowest || (end - begin - lowest) % above != 0) file_->fail("has links that do not follow each other");
  }
  for (const std::int32_t link : head.links)
    if (link < -1 || link >= rows_) file_->fail("has a link to a key that is not one");
  if (head.entry >= rows_) file_->fail("begins at a key that is not one");
  return head;
}

std::span<const std::int32_t> LinkIndex::links_of(const Head& head, std::int64_t key, std::int64_t level) const {
  const auto begin = head.starts[static_cast<std::size_t>(key)], end = head.starts[static_cast<std::size_t>(key) + 1];
  const std::uint64_t from = begin + static_cast<std::uint64_t>(level == 0 ? 0 : (level + 1) * links_), size = static_cast<std::uint64_t>(level == 0 ? 2 * links_ : links_);
  if (from + size > end) return {};
  file_->read(size * sizeof(std::int32_t));
  return head.links.subspan(from, size);
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
  Walk(const LinkIndex& index, const Head& head, const kernels::FarRows& rows, std::int64_t matrix, std::int64_t begin, std::int64_t size)
      : index_(index), head_(head), rows_(rows), matrix_(matrix), begin_(begin), size_(size), key_(static_cast<std::size_t>(size)) {}

  // Writes the best `most` that were met, −1 behind them.
  void search(const float* query, std::int64_t held, std::int64_t* to, std::int64_t most) {
    query_ = query;
    met.begin(index_.rows_);
    const auto top = static_cast<std::int64_t>(head_.starts[static_cast<std::size_t>(head_.entry) + 1] - head_.starts[static_cast<std::size_t>(head_.entry)]) / index_.links_ - 2;
    Near at{score(head_.entry), head_.entry};
    for (std::int64_t level = top; level > 0; --level) at = climb(at, level);
    std::priority_queue<Near> next;  // the best first
    std::priority_queue<Near, std::vector<Near>, std::greater<>> best;  // the worst first
    next.push(at), best.push(at), met.add(at.second);
    while (!next.empty()) {
      const Near here = next.top();
      next.pop();
      if (static_cast<std::int64_t>(best.size()) >= held && here.first < best.top().first) break;
      for (const std::int32_t link : index_.links_of(head_, here.second, 0)) {
        if (link < 0) break;
        if (!met.add(link)) continue;
        const Near near{score(link), link};
        if (static_cast<std::int64_t>(best.size()) >= held && !(near.first > best.top().first)) continue;
        next.push(near), best.push(near);
        if (static_cast<std::int64_t>(best.size()) > held) best.pop();
      }
    }
    while (static_cast<std::int64_t>(best.size()) > most) best.pop();
    for (std::int64_t i = most - 1; i >= 0; --i) {
      to[i] = -1;
      if (static_cast<std::int64_t>(best.size()) > i) to[i] = begin_ + best.top().second, best.pop();
    }
  }

 private:
  using Near = std::pair<float, std::int64_t>;  // score, key

  // Steps to better keys of a level while there are any; scores only rise, so that it ends.
  Near climb(Near at, std::int64_t level) {
    for (bool is_better = true; is_better;) {
      is_better = false;
      for (const std::int32_t link : index_.links_of(head_, at.second, level)) {
        if (link < 0) break;
        const float found = score(link);
        if (found > at.first) at = {found, link}, is_better = true;
      }
    }
    return at;
  }
  float score(std::int64_t key) { return kernels::row_kernels().dot(query_, rows_.keys(matrix_, begin_ + key, 1, key_.data()), size_); }

  const LinkIndex& index_;
  const Head& head_;
  const kernels::FarRows& rows_;
  std::int64_t matrix_, begin_, size_;
  const float* query_ = nullptr;
  std::vector<float> key_;
};

kernels::Found LinkIndex::find(std::int64_t layer, const at::Tensor& given, std::int64_t groups, const kernels::FarRows& rows, std::int64_t begin, std::int64_t count) const {
  const at::Tensor queries = given.to(at::kFloat).contiguous();
  const std::int64_t size = queries.size(3), a_matrix = queries.size(1) / groups * queries.size(2), most = std::min(rows_, count);
  at::Tensor candidates = at::empty({1, queries.size(1), queries.size(2), most}, at::kLong);
  const std::int64_t pieces = std::clamp<std::int64_t>(a_matrix / 64, 1, at::get_num_threads());
  at::parallel_for(0, groups * pieces, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t task = first; task < last; ++task) {
      const std::int64_t matrix = task / pieces, piece = task % pieces;
      Walk walk(*this, heads_[static_cast<std::size_t>(layer * groups + matrix)], rows, matrix, begin, size);
      for (std::int64_t query = matrix * a_matrix + a_matrix * piece / pieces; query < matrix * a_matrix + a_matrix * (piece + 1) / pieces; ++query)
        walk.search(queries.const_data_ptr<float>() + query * size, std::max(probe_, most), candidates.mutable_data_ptr<std::int64_t>() + query * most, most);
    }
  });
  return kernels::rank_candidates(given, groups, rows, candidates, count);
}

}  // namespace uio
