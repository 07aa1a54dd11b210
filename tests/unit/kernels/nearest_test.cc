// Exact search of the nearest keys against a softmax over all scores of which the others were struck out.
#include "kernels/nearest.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "unit/kernels/compare.h"

namespace uio {
namespace {

using kernels::AttentionPart;
using kernels::Visible;

struct Case {
  std::int64_t heads, groups, queries, near, far, size, count;
  bool is_causal;
};

at::Tensor random_of(std::int64_t heads, std::int64_t rows, std::int64_t size, at::ScalarType dtype) {
  return at::randn({2, heads, rows, size}, at::TensorOptions().dtype(at::kDouble)).to(dtype);
}

// One head and query at a time, over sorted scores.
at::Tensor expected(const std::vector<AttentionPart>& parts, const AttentionPart& far, std::int64_t count, double scale) {
  const at::Tensor q = far.queries.to(at::kDouble);
  const std::int64_t heads = q.size(1), repeat = heads / far.keys.size(1);
  at::Tensor out = at::zeros(q.sizes(), q.options());
  for (std::int64_t b = 0; b < q.size(0); ++b)
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t t = 0; t < q.size(2); ++t) {
        const at::Tensor keys = far.keys[b][h / repeat].to(at::kDouble), all = keys.matmul(q[b][h][t]);
        const at::Tensor best = std::get<1>(all.sort(/*dim=*/0, /*descending=*/true)).narrow(0, 0, std::min(count, keys.size(0)));
        std::vector<at::Tensor> scores = {all.index_select(0, best)}, values = {far.values[b][h / repeat].to(at::kDouble).index_select(0, best)};
        for (const AttentionPart& part : parts) {
          const std::int64_t seen = part.visible == Visible::kCausal ? t + 1 : part.keys.size(2);
          scores.push_back(part.keys[b][h / repeat].to(at::kDouble).narrow(0, 0, seen).matmul(part.queries[b][h][t].to(at::kDouble)));
          values.push_back(part.values[b][h / repeat].to(at::kDouble).narrow(0, 0, seen));
        }
        out[b][h][t] = at::softmax(at::cat(scores) * scale, 0).matmul(at::cat(values));
      }
  return out;
}

TEST_CASE("the nearest keys and the local ones share a softmax") {
  at::manual_seed(5);
  for (const Case& c : {Case{4, 2, 3, 5, 40, 8, 7, false}, Case{4, 4, 6, 6, 9, 4, 1, true}, Case{2, 1, 1, 3, 5, 6, 5, false}, Case{2, 1, 4, 0, 20, 6, 3, false},
                        Case{2, 2, 2, 2, 40000, 2, 50, true}, Case{1, 1, 1100, 1100, 17000, 2, 4, true}})
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      if (c.queries * c.far > 100000 && dtype == at::kFloat) continue;
      INFO(c.heads << " " << c.groups << " " << c.queries << " " << c.near << " " << c.far << " " << c.count);
      const at::Tensor queries = random_of(c.heads, c.queries, c.size, dtype);
      std::vector<AttentionPart> parts;
      if (c.near > 0)
        parts.push_back({queries, random_of(c.groups, c.near, c.size, dtype), random_of(c.groups, c.near, c.size, dtype),
                         c.is_causal ? Visible::kCausal : Visible::kAll, {}});
      const AttentionPart far{queries, random_of(c.groups, c.far, c.size, dtype), random_of(c.groups, c.far, c.size, dtype), Visible::kAll, {}};
      const at::Tensor found = kernels::attention_nearest(parts, far, c.count, 0.3);
      if (c.queries > 1000) {  // slow one by one: a few of them
        for (std::int64_t t = 1090; t < 1092; ++t) {
          const auto row = [&](const at::Tensor& x) { return x.narrow(2, t, 1); };
          const std::vector<AttentionPart> seen = {{row(parts[0].queries), parts[0].keys.narrow(2, 0, t + 1), parts[0].values.narrow(2, 0, t + 1), Visible::kAll, {}}};
          const AttentionPart one{row(queries), far.keys, far.values, Visible::kAll, {}};
          CHECK((found.narrow(2, t, 1) - expected(seen, one, c.count, 0.3)).abs().max().item<double>() < 1e-12);
        }
        continue;
      }
      CHECK(found.sizes() == queries.sizes());
      CHECK(found.scalar_type() == dtype);
      CHECK((found.to(at::kDouble) - expected(parts, far, c.count, 0.3)).abs().max().item<double>() < (dtype == at::kDouble ? 1e-12 : 1e-5));
    }
}

TEST_CASE("as many nearest keys as there are, or more, are all of them") {
  at::manual_seed(6);
  const at::Tensor queries = random_of(6, 5, 8, at::kFloat);
  const AttentionPart near{queries, random_of(3, 5, 8, at::kFloat), random_of(3, 5, 8, at::kFloat), Visible::kCausal, {}};
  AttentionPart masked = near;
  masked.visible = Visible::kMask;
  masked.mask = at::ones({5, 5}, at::kBool).tril().logical_and(at::ones({5, 5}, at::kBool).triu(-2));
  const AttentionPart far{queries, random_of(3, 33, 8, at::kFloat), random_of(3, 33, 8, at::kFloat), Visible::kAll, {}};
  for (const AttentionPart& part : {near, masked})
    for (const std::int64_t count : {33, 34, 1000}) {
      const AttentionPart parts[] = {part}, all[] = {part, far};
      const at::Tensor found = kernels::attention_nearest(parts, far, count, 0.4), dense = kernels::attention(all, 0.4);
      CHECK((found - dense).abs().max().item<float>() < 1e-5);
      CHECK(found.strides() == dense.strides());
    }
}

}  // namespace
}  // namespace uio
