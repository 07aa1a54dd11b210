#include "memory/list_index.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/best.h"
#include "kernels/products.h"

namespace uio {
namespace {

constexpr std::int64_t kKeys = 512, kQueries = 128;  // a block of scores: 256 KB, within a core's second-level cache
constexpr std::int64_t kQueriesAtOnce = 1024;        // that share a walk over the lists

// Centroids as keys to be searched.
class Centroids : public kernels::FarRows {
 public:
  Centroids(std::vector<const float*> heads, std::int64_t count, std::int64_t size) : heads_(std::move(heads)), count_(count), size_(size) {}
  std::int64_t count() const override { return count_; }
  const float* keys(std::int64_t matrix, std::int64_t begin, std::int64_t, float*) const override { return heads_[static_cast<std::size_t>(matrix)] + begin * size_; }
  const double* keys(std::int64_t, std::int64_t, std::int64_t, double*) const override { return nullptr; }  // never asked for: queries are f32
  const float* values(std::int64_t, std::int64_t, std::int64_t, float*) const override { return nullptr; }
  const double* values(std::int64_t, std::int64_t, std::int64_t, double*) const override { return nullptr; }

 private:
  std::vector<const float*> heads_;
  std::int64_t count_, size_;
};

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
    head.ids = file_->array<std::uint32_t>(layer, number, KeyArray::kIds, rows);
    if (head.starts.front() != 0 || head.starts.back() != rows || !std::ranges::is_sorted(head.starts)) file_->fail("has lists that do not follow each other");
    // Each key is in one list, once: a candidate that came twice would count twice.
    std::vector<bool> seen(rows);
    for (const std::uint32_t id : head.ids) {
      if (id >= rows || seen[id]) file_->fail("has lists with a key that is not one, or twice");
      seen[id] = true;
    }
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

// Approximate keys [count, d] of places [begin, begin + count).
void ListIndex::widen(const Head& head, std::int64_t list, std::int64_t begin, std::int64_t count, float* to) const {
  const kernels::RowKernels& kernel = kernels::row_kernels();
  if (head.codes.empty()) {
    file_->read(static_cast<std::uint64_t>(count * size_));
    for (std::int64_t i = 0; i < count; ++i, to += size_) kernel.widen_i8(head.bytes.data() + (begin + i) * size_, head.scales[static_cast<std::size_t>(begin + i)], to, size_);
    return;
  }
  const std::int64_t parts = file_->header().parts, part = size_ / parts;
  file_->read(static_cast<std::uint64_t>(count * parts));
  const float* const centroid = head.centroids.data() + list * size_;
  for (std::int64_t i = 0; i < count; ++i, to += size_) {
    const std::uint8_t* const code = head.codes.data() + (begin + i) * parts;
    for (std::int64_t p = 0; p < parts; ++p) {
      const float* const rest = head.books.data() + (p * 256 + code[p]) * part;
      for (std::int64_t x = 0; x < part; ++x) to[p * part + x] = centroid[p * part + x] + rest[x];
    }
  }
}

at::Tensor ListIndex::choose_lists(std::int64_t layer, const at::Tensor& queries, std::int64_t groups) const {
  std::vector<const float*> heads;
  for (std::int64_t g = 0; g < groups; ++g) heads.push_back(heads_[static_cast<std::size_t>(layer * groups + g)].centroids.data());
  return kernels::find_nearest(queries, groups, Centroids(std::move(heads), lists_, size_), 0, lists_, probe_).index;
}

// Queries [first, last) of a matrix: each list once, for those of them that want it.
void ListIndex::look(const Run& run, std::int64_t matrix, std::int64_t first, std::int64_t last) const {
  const kernels::SequentialProducts alone;
  const Head& head = run.heads[matrix];
  std::vector<std::pair<std::int64_t, std::int64_t>> wanted;  // list, query
  for (std::int64_t query = first; query < last; ++query)
    for (std::int64_t i = 0; i < run.probe; ++i) {
      const std::int64_t list = run.lists ? run.lists[(matrix * run.queries_a_matrix + query) * run.probe + i] : 0;
      if (list >= 0) wanted.emplace_back(list, query);  // a query that is not a number wants none
    }
  std::sort(wanted.begin(), wanted.end());
  std::vector<kernels::Best<float>> best(static_cast<std::size_t>(last - first));
  std::vector<float> keys(static_cast<std::size_t>(kKeys * size_)), asking(static_cast<std::size_t>(kQueries * size_)), scores(static_cast<std::size_t>(kQueries * kKeys));
  for (std::size_t at = 0; at < wanted.size();) {
    const std::int64_t list = wanted[at].first;
    std::size_t end = at;
    while (end < wanted.size() && wanted[end].first == list) ++end;
    const auto start = [&](std::int64_t i) { return head.starts.empty() ? i * rows_ : static_cast<std::int64_t>(head.starts[static_cast<std::size_t>(i)]); };
    const std::int64_t stop = start(list + 1);
    for (std::int64_t place = start(list); place < stop; place += kKeys) {
      const std::int64_t some = std::min(kKeys, stop - place);
      widen(head, list, place, some, keys.data());
      for (std::size_t from = at; from < end; from += kQueries) {
        const auto count = static_cast<std::int64_t>(std::min<std::size_t>(kQueries, end - from));
        for (std::int64_t i = 0; i < count; ++i)
          std::copy_n(run.queries + (matrix * run.queries_a_matrix + wanted[from + static_cast<std::size_t>(i)].second) * size_, size_, asking.data() + i * size_);
        kernels::multiply(count, some, size_, 1, {asking.data(), size_}, {keys.data(), size_, true}, 0, scores.data(), some);
        for (std::int64_t i = 0; i < count; ++i)
          best[static_cast<std::size_t>(wanted[from + static_cast<std::size_t>(i)].second - first)].show(scores.data() + i * some, some, place, run.most);
      }
    }
    at = end;
  }
  std::vector<float> unused(static_cast<std::size_t>(run.most));
  for (std::int64_t query = first; query < last; ++query) {
    std::int64_t* const own = run.candidates + (matrix * run.queries_a_matrix + query) * run.most;
    best[static_cast<std::size_t>(query - first)].write(unused.data(), own, run.most, 0);
    if (!head.ids.empty())
      for (std::int64_t i = 0; i < run.most; ++i)
        if (own[i] >= 0) own[i] = head.ids[static_cast<std::size_t>(own[i])];
  }
}

kernels::Found ListIndex::find(std::int64_t layer, const at::Tensor& given, std::int64_t groups, const kernels::FarRows& rows, std::int64_t begin, std::int64_t count) const {
  const at::Tensor queries = given.to(at::kFloat).contiguous();
  const bool has_lists = file_->header().kind != "sq8";
  const at::Tensor lists = has_lists ? choose_lists(layer, queries, groups) : at::Tensor();
  // Approximate scores put some of the best behind others: as many more are scored again.
  const std::int64_t most = std::min(rows_, file_->header().kind == "ivfpq" ? 4 * count + 64 : count + count / 4 + 16);
  at::Tensor candidates = at::empty({1, queries.size(1), queries.size(2), most}, at::kLong);
  const Run run{&heads_[static_cast<std::size_t>(layer * groups)], queries.const_data_ptr<float>(), has_lists ? lists.const_data_ptr<std::int64_t>() : nullptr,
                candidates.mutable_data_ptr<std::int64_t>(), queries.size(1) / groups * queries.size(2), has_lists ? probe_ : 1, most};
  const std::int64_t pieces = (run.queries_a_matrix + kQueriesAtOnce - 1) / kQueriesAtOnce;
  at::parallel_for(0, groups * pieces, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t task = first; task < last; ++task)
      look(run, task / pieces, task % pieces * kQueriesAtOnce, std::min(run.queries_a_matrix, (task % pieces + 1) * kQueriesAtOnce));
  });
  if (begin > 0) candidates = at::where(candidates.ge(0), candidates + begin, candidates);
  return kernels::rank_candidates(given, groups, rows, candidates, count);
}

}  // namespace uio
