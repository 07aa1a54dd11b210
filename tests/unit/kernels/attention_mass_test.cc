// Log-sum-exps of scores against all scores at once, and the shares of a softmax that they give.
#include "kernels/attention_mass.h"

#include <ATen/ATen.h>

#include <array>
#include <catch2/catch.hpp>
#include <utility>

#include "unit/kernels/compare.h"

namespace uio::kernels {
namespace {

using test::normal;

// [B, H, T, S]: every head's scores, keys of a group repeated for its heads.
at::Tensor scores(const at::Tensor& queries, const at::Tensor& keys, double scale) {
  const at::Tensor repeated = keys.repeat_interleave(queries.size(1) / keys.size(1), 1).to(at::kDouble);
  return at::matmul(queries.to(at::kDouble), repeated.transpose(-1, -2)).mul(scale);
}

TEST_CASE("one number for any number of keys") {
  for (const auto& [heads, groups, count, keys] : {std::array<std::int64_t, 4>{4, 2, 3, 1}, {2, 2, 5, 1024}, {6, 1, 2, 1025}, {3, 3, 1, 3000}})
    for (const auto& [dtype, tolerance] : {std::pair{at::kDouble, 1e-12}, {at::kFloat, 1e-5}, {at::kBFloat16, 1e-4}}) {
      INFO(heads << " " << groups << " " << count << " " << keys << " " << c10::toString(dtype));
      const at::Tensor q = normal({2, heads, count, 8}, 1, dtype), k = normal({2, groups, keys, 8}, 2, dtype), found = log_sum_exp(q, k, 0.4);
      CHECK(found.sizes() == at::IntArrayRef({2, heads, count}));
      CHECK(found.scalar_type() == (dtype == at::kDouble ? at::kDouble : at::kFloat));
      CHECK((found.to(at::kDouble) - scores(q, k, 0.4).logsumexp(-1)).abs().max().item<double>() < tolerance);
    }
}

TEST_CASE("shares of places are the sums of their weights in one softmax") {
  const at::Tensor q = normal({1, 4, 6, 8}, 3), first = normal({1, 2, 5, 8}, 4), second = normal({1, 2, 9, 8}, 5);
  const at::Tensor weights = at::softmax(scores(q, at::cat({first, second}, 2), 0.7), -1);
  const at::Tensor shares = at::softmax(at::stack({log_sum_exp(q, first, 0.7), log_sum_exp(q, second, 0.7)}, -1), -1);
  CHECK((shares.select(-1, 0) - weights.narrow(-1, 0, 5).sum(-1)).abs().max().item<double>() < 1e-12);
  CHECK((shares.sum(-1) - 1).abs().max().item<double>() < 1e-12);
}

}  // namespace
}  // namespace uio::kernels
