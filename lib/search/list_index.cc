#include "search/list_index.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/best.h"
#include "kernels/products.h"
#include "search/codes.h"
#include "search/held_keys.h"

namespace uio {
namespace {

constexpr std::int64_t kKeys = 512, kQueries = 128;              // a block of scores: 256 KB, within a core's second-level cache
constexpr std::int64_t kFewestAtOnce = 256, kMostAtOnce = 4096;  // queries that share a walk over the lists
constexpr std::int64_t kPromising = 8;                           // lists that a query looks at before the others

}  // namespace

// One search: what goes in, and what comes out of each query.
struct ListIndex::Run {
  const Head* heads;             // of the layer
  const float* queries;          // [G, R, d]
  const std::int64_t* lists;     // [G, R, probe]; null: the one list of all keys
  std::int64_t* candidates;      // [G, R, most]
  std::int64_t queries_a_matrix, probe, most;
};

ListIndex::ListIndex(std::shared_ptr<const KeyIndexFile> file, std::int64_t probe) : file_(std::move(file)) {
  const KeyIndexHeader& header = file_->header();
  rows_ = static_cast<std::int64_t>(header.rows), size_ = header.head_size;
  lists_ = header.kind == "sq8" ? 1 : header.lists;
  if (lists_ < 1) file_->fail("has no lists");
  if (header.kind == "ivfpq" && (header.parts == 0 || header.head_size % header.parts != 0))
    file_->fail("has " + std::to_string(header.parts) + " parts of keys of size " + std::to_string(header.head_size));
  // On 559,104 real keys a 32nd of the lists had 0.964 of the nearest 128, a 64th 0.934: tests/bench/results.
  probe_ = std::min(lists_, probe > 0 ? probe : std::max<std::int64_t>(32, lists_ / 32));
  for (std::uint32_t layer = 0; layer < header.layers; ++layer)
    for (std::uint32_t head = 0; head < header.heads; ++head) heads_.push_back(read_head(layer, head));
}

ListIndex::Head ListIndex::read_head(std::uint32_t layer, std::uint32_t number) const {
  const KeyIndexHeader& header = file_->header();
  const auto rows = header.rows, size = static_cast<std::uint64_t>(size_), lists = static_cast<std::uint64_t>(lists_);
  Head head;
  if (header.kind != "sq8") {
    head.centroids = file_->array<float>(layer, number, KeyArray::kCentroids, lists * size);
    head.starts = file_->array<std::uint64_t>(layer, number, KeyArray::kStarts, lists + 1);
    head.ids = file_->ids(layer, number);
    if (head.starts.front() != 0 || head.starts.back() != rows || !std::ranges::is_sorted(head.starts)) file_->fail("has lists that do not follow each other");
  }
  if (header.kind == "ivfpq") {
    head.codes = file_->array<std::uint8_t>(layer, number, KeyArray::kCodes, rows * header.parts);
    head.books = file_->array<float>(layer, number, KeyArray::kBooks, 256 * size);
  } else {
    head.bytes = file_->array<std::int8_t>(layer, number, KeyArray::kCodes, rows * size);
    head.scales = file_->array<float>(layer, number, KeyArray::kScales, rows);
  }
  return head;
}

// Approximate scores of one matrix's queries [count, d] and of keys that lie behind each other. Keys as bytes are multiplied as they are, by queries that are
// rounded to whole numbers of 13 bits: widening them would take longer than the products.
class ListIndex::Scores {
 public:
  Scores(const ListIndex& index, const Head& head, const float* queries, std::int64_t count)
      : index_(index), head_(head), queries_(queries), size_(index.size_), scores_(static_cast<std::size_t>(kQueries * kKeys)) {
    if (head.codes.empty()) {
      whole_ = WholeRows(queries, count, size_);
      asking_whole_.resize(static_cast<std::size_t>(kQueries * size_)), asking_scales_.resize(static_cast<std::size_t>(kQueries));
    } else {
      keys_.resize(static_cast<std::size_t>(kKeys * size_)), asking_.resize(static_cast<std::size_t>(kQueries * size_));
    }
  }

  // From now on of the keys at places [begin, begin + count) of a list.
  void open(std::int64_t list, std::int64_t begin, std::int64_t count) {
    begin_ = begin, count_ = count;
    index_.file_->read(static_cast<std::uint64_t>(count * (head_.codes.empty() ? size_ : index_.file_->header().parts)));
    if (!head_.codes.empty()) widen(list);
  }

  // Of those queries: [queries, keys].
  const float* of(std::span<const std::int64_t> queries) {
    const auto count = static_cast<std::int64_t>(queries.size());
    const auto gather = [&](const auto* from, std::int64_t size, auto* to) {
      for (const std::int64_t query : queries) to = std::copy_n(from + query * size, size, to);
    };
    if (!head_.codes.empty()) {
      gather(queries_, size_, asking_.data());
      kernels::multiply(count, count_, size_, 1, {asking_.data(), size_}, {keys_.data(), size_, true}, 0, scores_.data(), count_);
      return scores_.data();
    }
    gather(whole_.numbers.data(), size_, asking_whole_.data());
    gather(whole_.scales.data(), 1, asking_scales_.data());
    kernel_.products_i8(head_.bytes.data() + begin_ * size_, head_.scales.data() + begin_, asking_whole_.data(), asking_scales_.data(), scores_.data(), count_, size_, count);
    return scores_.data();
  }

 private:
  // Codes of a product quantiser as the keys that they stand for.
  void widen(std::int64_t list) {
    const std::int64_t parts = index_.file_->header().parts, part = size_ / parts;
    const float* const centroid = head_.centroids.data() + list * size_;
    float* to = keys_.data();
    for (std::int64_t i = 0; i < count_; ++i, to += size_) {
      const std::uint8_t* const code = head_.codes.data() + (begin_ + i) * parts;
      for (std::int64_t p = 0; p < parts; ++p) {
        const float* const rest = head_.books.data() + (p * 256 + code[p]) * part;
        for (std::int64_t x = 0; x < part; ++x) to[p * part + x] = centroid[p * part + x] + rest[x];
      }
    }
  }

  const kernels::RowKernels& kernel_ = kernels::row_kernels();
  const ListIndex& index_;
  const Head& head_;
  const float* queries_;
  std::int64_t size_, begin_ = 0, count_ = 0;
  WholeRows whole_;                         // the queries
  std::vector<std::int16_t> asking_whole_;  // those that ask, and their scales
  std::vector<float> asking_scales_;
  std::vector<float> keys_, asking_;                // widened
  std::vector<float> scores_;
};

at::Tensor ListIndex::choose_lists(std::int64_t layer, const at::Tensor& queries, std::int64_t groups) const {
  std::vector<const float*> heads;
  for (std::int64_t g = 0; g < groups; ++g) heads.push_back(heads_[static_cast<std::size_t>(layer * groups + g)].centroids.data());
  return kernels::find_nearest(queries, groups, HeldKeys(std::move(heads), lists_, size_), 0, lists_, probe_).index;
}

// Of queries [first, last) of a matrix, and of the lists that each of them wants those from the `from`-th to before the `to`-th: each list once.
void ListIndex::look(const Run& run, std::int64_t matrix, std::int64_t first, std::int64_t last, std::int64_t from, std::int64_t to, Scores& scores,
                     BestOfQueries& best) const {
  const Head& head = run.heads[matrix];
  // Who wants each list: of list l, asking[begins[l]] and on.
  std::vector<std::int64_t> begins(static_cast<std::size_t>(lists_) + 1), asking;
  const auto each_wanted = [&](const auto& take) {
    for (std::int64_t query = first; query < last; ++query)
      for (std::int64_t i = from; i < to; ++i) {
        const std::int64_t list = run.lists ? run.lists[(matrix * run.queries_a_matrix + query) * run.probe + i] : 0;
        if (list >= 0) take(static_cast<std::size_t>(list), query - first);  // a query that is not a number wants none
      }
  };
  each_wanted([&](std::size_t list, std::int64_t) { ++begins[list + 1]; });
  for (std::size_t list = 0; list + 1 < begins.size(); ++list) begins[list + 1] += begins[list];
  asking.resize(static_cast<std::size_t>(begins.back()));
  each_wanted([&](std::size_t list, std::int64_t query) { asking[static_cast<std::size_t>(begins[list]++)] = query; });  // begins[l] is where list l ends now

  std::size_t begin = 0;
  for (std::int64_t list = 0; list < lists_; ++list) {
    const auto end = static_cast<std::size_t>(begins[static_cast<std::size_t>(list)]);
    if (begin == end) continue;
    const auto start = [&](std::int64_t i) { return head.starts.empty() ? i * rows_ : static_cast<std::int64_t>(head.starts[static_cast<std::size_t>(i)]); };
    const std::int64_t stop = start(list + 1);
    for (std::int64_t place = start(list); place < stop; place += kKeys) {
      const std::int64_t some = std::min(kKeys, stop - place);
      scores.open(list, place, some);
      for (std::size_t at = begin; at < end; at += kQueries) {
        const std::span<const std::int64_t> who = std::span(asking).subspan(at, std::min<std::size_t>(kQueries, end - at));
        const float* const rows = scores.of(who);
        for (std::size_t i = 0; i < who.size(); ++i)
          best[static_cast<std::size_t>(who[i])].show(rows + static_cast<std::int64_t>(i) * some, some, place, run.most);
      }
    }
    begin = end;
  }
}

// The candidates of queries [first, last) of a matrix.
void ListIndex::choose_candidates(const Run& run, std::int64_t matrix, std::int64_t first, std::int64_t last) const {
  const kernels::SequentialProducts alone;
  const Head& head = run.heads[matrix];
  BestOfQueries best(static_cast<std::size_t>(last - first));
  Scores scores(*this, head, run.queries + (matrix * run.queries_a_matrix + first) * size_, last - first);
  // The lists that promise most come first: few keys of the others then beat what is kept.
  const std::int64_t promising = std::min(kPromising, run.probe);
  look(run, matrix, first, last, 0, promising, scores, best);
  look(run, matrix, first, last, promising, run.probe, scores, best);
  for (std::int64_t query = first; query < last; ++query) {
    std::int64_t* const own = run.candidates + (matrix * run.queries_a_matrix + query) * run.most;
    best[static_cast<std::size_t>(query - first)].write_rows(own, run.most);
    if (!head.ids.empty())
      for (std::int64_t i = 0; i < run.most; ++i)
        if (own[i] >= 0) own[i] = head.ids[static_cast<std::size_t>(own[i])];
  }
}

kernels::Found ListIndex::find(std::int64_t layer, const at::Tensor& given, std::int64_t groups, const kernels::FarRows& rows, std::int64_t begin, std::int64_t count) const {
  const at::Tensor queries = given.to(at::kFloat).contiguous();
  const bool has_lists = file_->header().kind != "sq8";
  const at::Tensor lists = has_lists ? choose_lists(layer, queries, groups) : at::Tensor();
  // Codes of a product quantiser are further from their keys than bytes.
  const std::int64_t most = std::min(rows_, file_->header().kind == "ivfpq" ? 4 * count + 64 : candidates_for(count));
  const at::Tensor candidates = at::empty({1, queries.size(1), queries.size(2), most}, at::kLong);
  const Run run{&heads_[static_cast<std::size_t>(layer * groups)], queries.const_data_ptr<float>(), has_lists ? lists.const_data_ptr<std::int64_t>() : nullptr,
                candidates.mutable_data_ptr<std::int64_t>(), queries.size(1) / groups * queries.size(2), has_lists ? probe_ : 1, most};
  // As few pieces as give each thread something to do: what a query finds does not depend on those that it shares a walk with.
  const std::int64_t total = run.queries_a_matrix, at_once = std::clamp(total * groups / (2 * at::get_num_threads()), kFewestAtOnce, kMostAtOnce), pieces = (total + at_once - 1) / at_once;
  at::parallel_for(0, groups * pieces, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t task = first; task < last; ++task)
      choose_candidates(run, task / pieces, task % pieces * at_once, std::min(total, (task % pieces + 1) * at_once));
  });
  return score_again(given, groups, rows, candidates, begin, count);
}

}  // namespace uio
