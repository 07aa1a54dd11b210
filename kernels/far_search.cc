// Ladder: (1) kernels/nearest.cc, a composition: topk of each block of scores. (2) shipped: blocks of keys small enough to stay in the cache times all queries, a
// look at each stretch of scores for one that beats the worst of those kept, and a partial selection when twice as many are kept as are wanted. A score
// seldom passes: of S in any order about κ·ln(S/κ) do. Bound by reading the keys for few queries, by the product's arithmetic for many.
#include "kernels/far_search.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <numeric>
#include <tuple>
#include <vector>

#include "kernels/best.h"
#include "kernels/local_scores.h"
#include "kernels/products.h"
#include "kernels/rows.h"

namespace uio::kernels {
namespace {

constexpr std::int64_t kKeys = 512, kQueries = 128;  // a block of scores: 256 KB, within a core's second-level cache
constexpr std::int64_t kFew = 16;                    // queries for which a product costs more than to go over the keys for each
constexpr std::size_t kNamed = 64;                   // rows that are read at once by their names

float dot(const float* x, const float* y, std::int64_t n) { return row_kernels().dot(x, y, n); }
double dot(const double* x, const double* y, std::int64_t n) { return std::inner_product(x, x + n, y, 0.0); }

void product(std::int64_t m, std::int64_t n, std::int64_t k, const float* queries, const float* keys, float* scores) {
  if (m <= kFew)
    for (std::int64_t i = 0; i < m; ++i) row_kernels().matvec_f32(keys, queries + i * k, scores + i * n, n, k);
  else
    multiply(m, n, k, 1, {queries, k}, {keys, k, true}, 0, scores, n);
}
void product(std::int64_t m, std::int64_t n, std::int64_t k, const double* queries, const double* keys, double* scores) {
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) scores[i * n + j] = dot(queries + i * k, keys + j * k, k);
}

// sum += Σ weights · rows
void add_weighted(const float* rows, const float* weights, float* sum, std::int64_t count, std::int64_t n) { row_kernels().add_weighted(rows, weights, sum, count, n); }
void add_weighted(const double* rows, const double* weights, double* sum, std::int64_t count, std::int64_t n) {
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t x = 0; x < n; ++x) sum[x] += weights[i] * rows[i * n + x];
}

template <typename Real>
std::unique_ptr<Real[]> room(std::int64_t size) {
  return std::make_unique_for_overwrite<Real[]>(static_cast<std::size_t>(size));
}

// Queries as rows of the matrices that they search: heads that share keys one behind the other.
template <typename Real>
struct Queries {
  Queries(const at::Tensor& queries, std::int64_t groups)
      : wide(queries.to(c10::CppTypeToScalarType<Real>::value).contiguous()),
        matrices(queries.size(0) * groups),
        rows(queries.size(1) / groups * queries.size(2)),
        size(queries.size(3)) {}
  const Real* row(std::int64_t matrix, std::int64_t number) const { return wide.template const_data_ptr<Real>() + (matrix * rows + number) * size; }
  at::Tensor wide;
  std::int64_t matrices, rows, size;
};

Found empty_like(const at::Tensor& queries, std::int64_t count, at::ScalarType dtype) {
  const std::vector<std::int64_t> shape = {queries.size(0), queries.size(1), queries.size(2), count};
  return {at::empty(shape, dtype), at::empty(shape, at::kLong)};
}

template <typename Real>
void search(const Queries<Real>& queries, std::int64_t matrix, const FarKeys& far, std::int64_t begin, std::int64_t end, std::int64_t count, std::vector<Best<Real>>& best) {
  const SequentialProducts alone;
  const auto scratch = room<Real>(kKeys * queries.size), scores = room<Real>(kQueries * kKeys);
  for (std::int64_t at = begin; at < end; at += kKeys) {
    const std::int64_t some = std::min(kKeys, end - at);
    const Real* const keys = far.keys(matrix, at, some, scratch.get());
    for (std::int64_t first = 0; first < queries.rows; first += kQueries) {
      const std::int64_t asking = std::min(kQueries, queries.rows - first);
      product(asking, some, queries.size, queries.row(matrix, first), keys, scores.get());
      for (std::int64_t i = 0; i < asking; ++i) best[static_cast<std::size_t>(first + i)].show(scores.get() + i * some, some, at, count);
    }
  }
}

template <typename Real>
Found find(const at::Tensor& given, std::int64_t groups, const FarKeys& far, std::int64_t begin, std::int64_t end, std::int64_t count) {
  const Queries<Real> queries(given, groups);
  Found found = empty_like(given, count, queries.wide.scalar_type());
  // As many stretches of keys as give each thread something to do; what is found does not depend on them.
  const std::int64_t blocks = (end - begin + kKeys - 1) / kKeys;
  const std::int64_t splits = std::clamp<std::int64_t>((2 * at::get_num_threads() + queries.matrices - 1) / queries.matrices, 1, std::max<std::int64_t>(1, blocks / 8));
  std::vector<std::vector<Best<Real>>> best(static_cast<std::size_t>(queries.matrices * splits));
  at::parallel_for(0, queries.matrices * splits, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t task = first; task < last; ++task) {
      auto& own = best[static_cast<std::size_t>(task)];
      own.resize(static_cast<std::size_t>(queries.rows));
      const std::int64_t split = task % splits;
      search(queries, task / splits, far, begin + blocks * split / splits * kKeys, std::min(end, begin + blocks * (split + 1) / splits * kKeys), count, own);
    }
  });
  at::parallel_for(0, queries.matrices * queries.rows, 64, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t matrix = i / queries.rows, row = i % queries.rows;
      const auto of = [&](std::int64_t split) -> Best<Real>& { return best[static_cast<std::size_t>(matrix * splits + split)][static_cast<std::size_t>(row)]; };
      for (std::int64_t split = 1; split < splits; ++split) of(0).add_all(of(split), count);
      of(0).write(found.scores.mutable_data_ptr<Real>() + i * count, found.index.mutable_data_ptr<std::int64_t>() + i * count, count, end - begin);
    }
  });
  return found;
}

template <typename Real>
Found rank(const at::Tensor& given, std::int64_t groups, const FarRows& far, const at::Tensor& candidates, std::int64_t count) {
  const Queries<Real> queries(given, groups);
  Found found = empty_like(given, count, queries.wide.scalar_type());
  const at::Tensor named = candidates.contiguous();
  const std::int64_t most = named.size(3);
  at::parallel_for(0, queries.matrices * queries.rows, 1, [&](std::int64_t first, std::int64_t last) {
    const auto keys = room<Real>(static_cast<std::int64_t>(kNamed) * queries.size);
    std::vector<std::int64_t> there;
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t matrix = i / queries.rows;
      const Real* const query = queries.row(matrix, i % queries.rows);
      const std::span own(named.const_data_ptr<std::int64_t>() + i * most, static_cast<std::size_t>(most));
      there.clear();
      std::ranges::copy_if(own, std::back_inserter(there), [](std::int64_t row) { return row >= 0; });
      Best<Real> best;
      for (std::size_t at = 0; at < there.size(); at += kNamed) {
        const std::span some = std::span<const std::int64_t>(there).subspan(at, std::min(kNamed, there.size() - at));
        far.named_keys(matrix, some, keys.get());
        for (std::size_t c = 0; c < some.size(); ++c)
          if (const Real score = dot(query, keys.get() + static_cast<std::int64_t>(c) * queries.size, queries.size); score == score) best.add(score, some[c], count);
      }
      best.write(found.scores.mutable_data_ptr<Real>() + i * count, found.index.mutable_data_ptr<std::int64_t>() + i * count, count, static_cast<std::int64_t>(there.size()));
    }
  });
  return found;
}

// Σ weights · values of the rows that `index` names: [B, H, T, κ] → [B, H, T, d].
template <typename Real>
at::Tensor sum_of(const at::Tensor& weights, const at::Tensor& index, std::int64_t groups, const FarRows& far, std::int64_t size) {
  const at::Tensor shares = weights.contiguous(), rows = index.contiguous();
  const std::int64_t batch = rows.size(0), heads = rows.size(1), count = rows.size(2), best = rows.size(3), shared = heads / groups * count;
  at::Tensor sums = at::zeros({batch, heads, count, size}, shares.options());
  at::parallel_for(0, batch * heads * count, 1, [&](std::int64_t first, std::int64_t last) {
    const auto values = room<Real>(static_cast<std::int64_t>(kNamed) * size);
    std::vector<std::int64_t> named;
    std::vector<Real> own;
    for (std::int64_t i = first; i < last; ++i) {
      Real* const sum = sums.mutable_data_ptr<Real>() + i * size;
      const std::int64_t* const row = rows.const_data_ptr<std::int64_t>() + i * best;
      const Real* const share = shares.const_data_ptr<Real>() + i * best;
      named.clear(), own.clear();
      for (std::int64_t j = 0; j < best; ++j)
        if (share[j] != 0) named.push_back(row[j]), own.push_back(share[j]);
      if (const auto nothing = std::ranges::find_if(named, [](std::int64_t one) { return one < 0; }); nothing != named.end()) {  // a share of nothing: it is not a number
        std::fill(sum, sum + size, own[static_cast<std::size_t>(nothing - named.begin())]);
        continue;
      }
      for (std::size_t at = 0; at < named.size(); at += kNamed) {
        const std::span some = std::span<const std::int64_t>(named).subspan(at, std::min(kNamed, named.size() - at));
        far.named_values(i / shared, some, values.get());
        add_weighted(values.get(), own.data() + at, sum, static_cast<std::int64_t>(some.size()), size);
      }
    }
  });
  return sums;
}

bool is_wide(const at::Tensor& queries) { return queries.scalar_type() == at::kDouble; }

}  // namespace

Found find_nearest(const at::Tensor& queries, std::int64_t groups, const FarKeys& far, std::int64_t begin, std::int64_t end, std::int64_t count) {
  return is_wide(queries) ? find<double>(queries, groups, far, begin, end, count) : find<float>(queries, groups, far, begin, end, count);
}

Found rank_candidates(const at::Tensor& queries, std::int64_t groups, const FarRows& far, const at::Tensor& candidates, std::int64_t count) {
  return is_wide(queries) ? rank<double>(queries, groups, far, candidates, count) : rank<float>(queries, groups, far, candidates, count);
}

Found best_of(const Found& a, const Found& b, std::int64_t count) {
  const at::Tensor scores = at::cat({a.scores, b.scores}, -1), index = at::cat({a.index, b.index}, -1);
  // Stable: of equal scores those of `a` come first. NaN counts as the greatest and stays.
  const at::Tensor order = std::get<1>(at::sort(scores, /*stable=*/true, -1, /*descending=*/true)).narrow(-1, 0, std::min(count, scores.size(-1)));
  return {scores.gather(-1, order), index.gather(-1, order)};
}

at::Tensor attention_found(std::span<const AttentionPart> parts, std::int64_t first, const at::Tensor& queries, std::int64_t groups, const FarRows& far, const Found& found, double scale) {
  const std::int64_t batch = queries.size(0), heads = queries.size(1), total = queries.size(2), size = queries.size(3);
  const std::int64_t at_once = local_queries_at_once(parts, batch * heads, found.scores.size(3), total);
  at::Tensor out = at::empty({batch, total, heads, size}, queries.options());
  for (std::int64_t begin = 0; begin < total; begin += at_once) {
    const std::int64_t some = std::min(at_once, total - begin);
    const LocalShares shares = local_shares(parts, first + begin, some, found.scores.narrow(2, begin, some), scale);
    const at::Tensor index = found.index.narrow(2, begin, some);
    at::Tensor sum = is_wide(queries) ? sum_of<double>(shares.far, index, groups, far, size) : sum_of<float>(shares.far, index, groups, far, size);
    if (shares.sum.defined()) sum = sum + shares.sum;
    out.narrow(1, begin, some).copy_(sum.transpose(1, 2));
  }
  return out.transpose(1, 2);
}

}  // namespace uio::kernels
