// Attention over parts against sums in double over one row of keys, query by query, beyond the cases of tests/ops.
#include "kernels/attention.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <limits>
#include <vector>

#include "unit/kernels/compare.h"

namespace uio::kernels {
namespace {

using test::mean_square_error;
using test::normal;
using test::random_mask;

// Every query, head and key by itself; each part with its own queries.
at::Tensor by_hand(const std::vector<AttentionPart>& parts, double scale) {
  const at::Tensor& first = parts.front().queries;
  const std::int64_t batch = first.size(0), heads = first.size(1), count = first.size(2), size = first.size(3);
  at::Tensor out = at::zeros({batch, heads, count, size}, at::kDouble);
  for (std::int64_t b = 0; b < batch; ++b)
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t t = 0; t < count; ++t) {
        std::vector<double> scores;
        std::vector<at::Tensor> values;
        for (const AttentionPart& part : parts) {
          const std::int64_t group = h / (heads / part.keys.size(1));
          const at::Tensor q = part.queries[b][h][t].to(at::kDouble);
          for (std::int64_t s = 0; s < part.keys.size(2); ++s) {
            const bool sees = part.visible == Visible::kAll || (part.visible == Visible::kCausal && s <= t) ||
                              (part.visible == Visible::kMask && part.mask[t][s].item<bool>());
            if (!sees) continue;
            scores.push_back(scale * q.dot(part.keys[b][group][s].to(at::kDouble)).item<double>());
            values.push_back(part.values[b][group][s].to(at::kDouble));
          }
        }
        const double highest = *std::max_element(scores.begin(), scores.end());
        double total = 0;
        for (double& score : scores) total += score = std::exp(score - highest);
        at::Tensor row = out[b][h][t];
        for (std::size_t i = 0; i < scores.size(); ++i) row.add_(values[i], scores[i] / total);
      }
  return out;
}

struct Shape {
  std::int64_t batch, heads, groups, count, size;
};

AttentionPart part(const Shape& shape, std::int64_t keys, Visible visible, std::uint64_t seed, const at::Tensor& mask = {}) {
  return {2 * normal({shape.batch, shape.heads, shape.count, shape.size}, seed),
          normal({shape.batch, shape.groups, keys, shape.size}, seed + 1),
          normal({shape.batch, shape.groups, keys, shape.size}, seed + 2), visible, mask};
}

std::vector<AttentionPart> converted(const std::vector<AttentionPart>& parts, at::ScalarType dtype) {
  std::vector<AttentionPart> out;
  for (const AttentionPart& p : parts)
    out.push_back({p.queries.to(dtype), p.keys.to(dtype), p.values.to(dtype), p.visible, p.mask});
  return out;
}

// Rounds the inputs first, so that the error is the computation's own.
void check(const std::vector<AttentionPart>& parts, double scale) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
    INFO(c10::toString(dtype));
    const std::vector<AttentionPart> here = converted(parts, dtype);
    const at::Tensor exact = by_hand(here, scale);
    const at::Tensor fast = attention(here, scale), plain = attention_reference(here, scale);
    // bfloat16 rounds the weights, each part and their sum.
    const double bound = dtype == at::kDouble ? 1e-27 : dtype == at::kFloat ? 1e-11 : 1e-4;
    CHECK(fast.scalar_type() == dtype);
    CHECK(mean_square_error(fast, exact) < bound);
    CHECK(mean_square_error(plain, exact) < bound);
    // [B, T, H, d] in memory: what comes next joins the heads without a copy.
    CHECK(plain.transpose(1, 2).is_contiguous());
    const test::ForceReference forced;
    CHECK(at::equal(attention(here, scale), plain));
  }
}

std::vector<AttentionPart> blind_twice() {
  const Shape shape{1, 2, 1, 3, 8};
  const AttentionPart blind = part(shape, 6, Visible::kMask, 11, at::zeros({3, 6}, at::kBool));
  return {blind, blind, part(shape, 3, Visible::kAll, 8)};
}

TEST_CASE("queries that see nothing of the first two parts") {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const std::vector<AttentionPart> parts = converted(blind_twice(), dtype);
    CHECK(mean_square_error(attention(parts, 0.3), by_hand(parts, 0.3)) < 1e-11);
  }
}

// -inf − -inf in the merge of the bfloat16 path. The methods there are never have two such parts in front.
TEST_CASE("queries that see nothing of the first two parts, bfloat16", "") {
  const std::vector<AttentionPart> parts = converted(blind_twice(), at::kBFloat16);
  CHECK(mean_square_error(attention(parts, 0.3), by_hand(parts, 0.3)) < 1e-4);
}

TEST_CASE("queries that see something of different parts only") {
  const Shape shape{2, 4, 2, 6, 8};
  at::Tensor even = at::zeros({6, 5}, at::kBool), odd = at::zeros({6, 4}, at::kBool);
  for (std::int64_t t = 0; t < 6; ++t) (t % 2 ? odd : even)[t].fill_(true);
  check({part(shape, 5, Visible::kMask, 14, even), part(shape, 4, Visible::kMask, 17, odd)}, 0.35);
}

TEST_CASE("many parts") {
  const Shape shape{2, 6, 3, 5, 16};
  std::vector<AttentionPart> parts;
  for (std::uint64_t i = 0; i < 9; ++i)
    parts.push_back(part(shape, static_cast<std::int64_t>(1 + i), Visible::kAll, 100 + 3 * i));
  parts.push_back(part(shape, 5, Visible::kCausal, 200));
  check(parts, 0.25);
}

TEST_CASE("cutting one row of keys into parts changes nothing") {
  const Shape shape{1, 4, 2, 3, 16};
  const AttentionPart whole = converted({part(shape, 30, Visible::kAll, 20)}, at::kFloat)[0];
  const at::Tensor expected = attention(std::vector{whole}, 0.25);
  for (const std::int64_t cut : {1, 7, 15, 29}) {
    const auto piece = [&](std::int64_t begin, std::int64_t count) {
      return AttentionPart{
          whole.queries, whole.keys.narrow(2, begin, count), whole.values.narrow(2, begin, count), Visible::kAll, {}};
    };
    CHECK(mean_square_error(attention(std::vector{piece(0, cut), piece(cut, 30 - cut)}, 0.25), expected) < 1e-12);
    CHECK(mean_square_error(attention(std::vector{piece(cut, 30 - cut), piece(0, cut)}, 0.25), expected) < 1e-12);
  }
}

TEST_CASE("parts whose scores are far apart") {
  // One part outweighs the other by e^±60 and more: no overflow, and the weight of the lesser one vanishes.
  const Shape shape{1, 2, 1, 4, 8};
  for (const double factor : {60.0, -60.0, 400.0}) {
    AttentionPart far = part(shape, 5, Visible::kAll, 30);
    far.keys = far.queries.narrow(1, 0, 1).narrow(2, 0, 1).expand({1, 1, 5, 8}).contiguous() * factor;
    check({far, part(shape, 5, Visible::kAll, 33)}, 0.3);
    check({part(shape, 5, Visible::kAll, 33), far}, 0.3);
  }
}

TEST_CASE("views are taken as they lie") {
  // Keys in the middle of a cache with room behind, queries as projections leave them.
  const at::Tensor cache = normal({2, 2, 40, 12}, 40, at::kFloat), values = normal({2, 2, 40, 12}, 41, at::kFloat);
  const at::Tensor queries = normal({2, 5, 4, 12}, 42, at::kFloat).transpose(1, 2);
  const std::vector<AttentionPart> parts = {{queries, cache.narrow(2, 3, 20), values.narrow(2, 3, 20), Visible::kAll, {}},
                                            {queries, cache.narrow(2, 23, 5), values.narrow(2, 23, 5), Visible::kCausal, {}}};
  CHECK(mean_square_error(attention(parts, 0.3), by_hand(parts, 0.3)) < 1e-11);
  CHECK(mean_square_error(attention_reference(parts, 0.3), by_hand(parts, 0.3)) < 1e-11);
}

// 128 queries and 512 keys are a block of the f32 path.
TEST_CASE("queries and keys around the borders of blocks") {
  for (const std::int64_t count : {127, 128, 129, 257})
    for (const std::int64_t keys : {511, 512, 513}) {
      const Shape shape{1, 2, 1, count, 4};
      const std::vector<AttentionPart> parts =
          converted({part(shape, keys, Visible::kAll, 60), part(shape, count, Visible::kCausal, 63)}, at::kFloat);
      CHECK(mean_square_error(attention(parts, 0.5), attention_reference(converted(parts, at::kDouble), 0.5)) < 1e-11);
      at::Tensor mask = random_mask(count, keys, 7, 0.02);
      mask.narrow(0, 3, 2).fill_(false);  // two queries that see nothing of whole blocks
      mask.select(1, keys - 1).fill_(true);
      const std::vector<AttentionPart> masked = converted({part(shape, keys, Visible::kMask, 66, mask)}, at::kFloat);
      CHECK(mean_square_error(attention(masked, 0.5), attention_reference(converted(masked, at::kDouble), 0.5)) < 1e-11);
    }
}

TEST_CASE("more heads to a group than a block has rows") {
  const Shape shape{1, 300, 2, 1, 4};
  const std::vector<AttentionPart> parts = converted({part(shape, 40, Visible::kAll, 70)}, at::kFloat);
  CHECK(mean_square_error(attention(parts, 0.5), by_hand(parts, 0.5)) < 1e-11);
}

TEST_CASE("long rows, more than one block of the fast path") {
  const Shape shape{1, 2, 1, 70, 16};
  const std::vector<AttentionPart> parts =
      converted({part(shape, 900, Visible::kAll, 50), part(shape, 70, Visible::kCausal, 53)}, at::kFloat);
  CHECK(mean_square_error(attention(parts, 0.25), attention_reference(converted(parts, at::kDouble), 0.25)) < 1e-11);
}

}  // namespace
}  // namespace uio::kernels
