// Search block by block against a full sort, and attention over what was found against the composition that has all keys at hand.
#include "kernels/far_search.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <catch2/catch.hpp>

#include "kernels/nearest.h"
#include "unit/kernels/compare.h"

namespace uio {
namespace {

using kernels::AttentionPart;
using kernels::Found;
using kernels::Visible;

// Tensors [B, G, S, d] that are handed out piece by piece, always through the scratch.
class TensorRows : public kernels::FarRows {
 public:
  TensorRows(const at::Tensor& keys, const at::Tensor& values) : keys_(keys.to(at::kDouble).flatten(0, 1)), values_(values.to(at::kDouble).flatten(0, 1)) {}
  std::int64_t count() const override { return keys_.size(1); }
  const float* keys(std::int64_t m, std::int64_t begin, std::int64_t count, float* to) const override { return copy(keys_, m, begin, count, to); }
  const double* keys(std::int64_t m, std::int64_t begin, std::int64_t count, double* to) const override { return copy(keys_, m, begin, count, to); }
  void named_keys(std::int64_t m, std::span<const std::int64_t> rows, float* to) const override { copy_named(keys_, m, rows, to); }
  void named_keys(std::int64_t m, std::span<const std::int64_t> rows, double* to) const override { copy_named(keys_, m, rows, to); }
  void named_values(std::int64_t m, std::span<const std::int64_t> rows, float* to) const override { copy_named(values_, m, rows, to); }
  void named_values(std::int64_t m, std::span<const std::int64_t> rows, double* to) const override { copy_named(values_, m, rows, to); }

 private:
  template <typename Real>
  static const Real* copy(const at::Tensor& from, std::int64_t m, std::int64_t begin, std::int64_t count, Real* to) {
    const at::Tensor some = from[m].narrow(0, begin, count).contiguous();
    std::copy_n(some.const_data_ptr<double>(), some.numel(), to);
    return to;
  }
  template <typename Real>
  static void copy_named(const at::Tensor& from, std::int64_t m, std::span<const std::int64_t> rows, Real* to) {
    for (const std::int64_t row : rows) copy(from, m, row, 1, to), to += from.size(2);
  }
  at::Tensor keys_, values_;
};

at::Tensor random_of(std::int64_t heads, std::int64_t rows, std::int64_t size) { return at::randn({2, heads, rows, size}, at::kDouble); }

// The rows of [begin, end) in the order of their scores, the earlier of equal ones first.
at::Tensor sorted_rows(const at::Tensor& query, const at::Tensor& keys, std::int64_t begin, std::int64_t end) {
  const at::Tensor scores = keys.narrow(0, begin, end - begin).matmul(query);
  return std::get<1>(at::sort(scores, true, 0, true)) + begin;
}

void check_search(std::int64_t heads, std::int64_t groups, std::int64_t count, std::int64_t rows, std::int64_t begin, std::int64_t end, std::int64_t best, at::ScalarType dtype) {
  INFO(heads << " " << groups << " " << count << " " << rows << " " << begin << " " << end << " " << best);
  // Small whole numbers: many scores are equal, and all of them exact in f32.
  const at::Tensor queries = at::randint(-3, 4, {2, heads, count, 5}, at::kDouble).to(dtype), keys = at::randint(-3, 4, {2, groups, rows, 5}, at::kDouble);
  const Found found = kernels::find_nearest(queries, groups, TensorRows(keys, keys), begin, end, best);
  CHECK(found.scores.scalar_type() == (dtype == at::kDouble ? at::kDouble : at::kFloat));
  const std::int64_t there = std::min(best, end - begin);
  for (std::int64_t b = 0; b < 2; ++b)
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t t = 0; t < count; ++t) {
        const at::Tensor matrix = keys[b][h / (heads / groups)], query = queries[b][h][t].to(at::kDouble), wanted = sorted_rows(query, matrix, begin, end).narrow(0, 0, there);
        REQUIRE(at::equal(found.index[b][h][t].narrow(0, 0, there), wanted));
        REQUIRE(at::equal(found.scores[b][h][t].narrow(0, 0, there).to(at::kDouble), matrix.index_select(0, wanted).matmul(query)));
        REQUIRE((found.index[b][h][t].narrow(0, there, best - there) == -1).all().item<bool>());
        REQUIRE((found.scores[b][h][t].narrow(0, there, best - there) == -std::numeric_limits<double>::infinity()).all().item<bool>());
      }
}

TEST_CASE("the nearest are those of a full sort, whatever the blocks and threads") {
  at::manual_seed(7);
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16})
    for (const int threads : {1, 3}) {
      at::set_num_threads(threads);
      check_search(4, 2, 3, 40, 0, 40, 7, dtype);
      check_search(2, 2, 1, 9000, 0, 9000, 3, dtype);
      check_search(2, 1, 1, 1500, 700, 1400, 64, dtype);
      check_search(2, 1, 70, 600, 1, 600, 1, dtype);
      check_search(1, 1, 2, 30, 5, 25, 40, dtype);
    }
  at::set_num_threads(1);
}

TEST_CASE("what was found and the local keys share a softmax, as in the composition") {
  at::manual_seed(8);
  for (const auto& [heads, groups, count, near, far, best] : {std::tuple{4, 2, 5, 5, 700, 9}, {3, 3, 1, 4, 50, 50}, {2, 1, 6, 0, 20, 3}, {2, 2, 3, 3, 10, 400}})
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const at::Tensor queries = random_of(heads, count, 6).to(dtype), keys = random_of(groups, far, 6).to(dtype), values = random_of(groups, far, 6).to(dtype);
      std::vector<AttentionPart> parts;
      if (near > 0) parts.push_back({queries, random_of(groups, near, 6).to(dtype), random_of(groups, near, 6).to(dtype), count == near ? Visible::kCausal : Visible::kAll, {}});
      const at::Tensor wanted = kernels::attention_nearest(parts, {queries, keys, values, Visible::kAll, {}}, best, 0.4);
      const TensorRows rows(keys, values);
      const double tolerance = dtype == at::kDouble ? 1e-12 : 1e-5;
      const at::Tensor found = kernels::attention_found(parts, 0, queries, groups, rows, kernels::find_nearest(queries, groups, rows, 0, far, best), 0.4);
      CHECK((found - wanted).abs().max().item<double>() < tolerance);
      // The last queries alone.
      const at::Tensor last = queries.narrow(2, count - 1, 1);
      const at::Tensor alone = kernels::attention_found(parts, count - 1, last, groups, rows, kernels::find_nearest(last, groups, rows, 0, far, best), 0.4);
      CHECK((alone - wanted.narrow(2, count - 1, 1)).abs().max().item<double>() < tolerance);
      if (best < far) continue;
      std::vector<AttentionPart> all = parts;
      all.push_back({queries, keys, values, Visible::kAll, {}});
      CHECK((found - kernels::attention(all, 0.4)).abs().max().item<double>() < tolerance);
    }
}

TEST_CASE("found apart and put together is found at once; candidates are scored by the keys") {
  at::manual_seed(9);
  const at::Tensor queries = random_of(4, 3, 8), keys = random_of(2, 500, 8);
  const TensorRows rows(keys, keys);
  const Found all = kernels::find_nearest(queries, 2, rows, 0, 500, 20);
  const Found both = kernels::best_of(kernels::find_nearest(queries, 2, rows, 0, 190, 20), kernels::find_nearest(queries, 2, rows, 190, 500, 20), 20);
  CHECK(at::equal(all.index, both.index));
  CHECK(at::equal(all.scores, both.scores));
  // All rows in any order, some places empty.
  at::Tensor candidates = at::full({2, 4, 3, 520}, -1, at::kLong);
  candidates.narrow(3, 20, 500).copy_(at::randperm(500, at::kLong));
  const Found ranked = kernels::rank_candidates(queries, 2, rows, candidates, 20);
  CHECK(at::equal(ranked.index, all.index));
  CHECK((ranked.scores - all.scores).abs().max().item<double>() < 1e-12);
  const Found few = kernels::rank_candidates(queries, 2, rows, candidates.narrow(3, 0, 22), 20);
  CHECK((few.index.narrow(3, 2, 18) == -1).all().item<bool>());
}

TEST_CASE("a key that is not a number is not passed over") {
  at::Tensor keys = random_of(1, 30, 4);
  keys[0][0][17][2] = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor queries = random_of(1, 2, 4);
  const TensorRows rows(keys, keys);
  const Found found = kernels::find_nearest(queries, 1, rows, 0, 30, 30);
  const at::Tensor out = kernels::attention_found({}, 0, queries, 1, rows, found, 1);
  CHECK(out[0].isnan().all().item<bool>());
  CHECK_FALSE(out[1].isnan().any().item<bool>());
}

}  // namespace
}  // namespace uio
