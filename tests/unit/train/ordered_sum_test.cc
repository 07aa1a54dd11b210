#include "train/ordered_sum.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "unit/train/crew.h"

namespace {

using at::Tensor;

// What process `rank` adds: numbers of very different sizes, so that another order gives other bits.
std::vector<Tensor> addends(int rank) {
  const auto numbers = [&](std::int64_t n, at::ScalarType type) {
    const Tensor i = at::arange(n, at::kDouble);
    return (at::sin(i * 12.9898 + rank * 78.233) * at::pow(10, at::remainder(i * 7 + rank * 3, 9.0))).to(type);
  };
  return {numbers(1, at::kFloat), numbers(35, at::kFloat).view({5, 7}), numbers(0, at::kFloat), numbers(12, at::kDouble).view({3, 4}).t(),
          numbers(100, at::kFloat), numbers(9, at::kBFloat16), numbers(24, at::kFloat).view({4, 6}).t()};
}

std::vector<Tensor> expected(int count) {
  std::vector<Tensor> sums = addends(0);
  for (Tensor& sum : sums) sum = sum.to(sum.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  for (int r = 1; r < count; ++r) {
    const std::vector<Tensor> more = addends(r);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = sums[i] + more[i].to(sums[i].scalar_type());
  }
  return sums;
}

}  // namespace

TEST_CASE("sums are those in the order of ranks, to the bit, however the values are cut into rounds and slices") {
  for (const int count : {1, 2, 3, 4, 7}) {
    const std::vector<Tensor> right = expected(count);
    for (const std::int64_t round : {std::int64_t{1}, std::int64_t{5}, std::int64_t{36}, std::int64_t{64}, uio::kSumRound}) {
      std::vector<std::vector<Tensor>> all(static_cast<std::size_t>(count));
      for (int r = 0; r < count; ++r) all[static_cast<std::size_t>(r)] = addends(r);
      train_test::Crew(count).run([&](std::unique_ptr<uio::Transport> transport) {
        uio::ordered_sum(all[static_cast<std::size_t>(transport->rank())], *transport, round);
      });
      bool same = true;
      for (const std::vector<Tensor>& sums : all)
        for (std::size_t i = 0; i < sums.size(); ++i) same = same && at::equal(sums[i], right[i].to(sums[i].scalar_type()));
      INFO(count << " processes, rounds of " << round);
      CHECK(same);
    }
  }
}

TEST_CASE("nothing to sum is no exchange") {
  train_test::Crew(2).run([](std::unique_ptr<uio::Transport> transport) {
    uio::ordered_sum({}, *transport);
    if (transport->rank() == 0) uio::ordered_sum({at::empty({0})}, *transport);  // would wait for the other for ever
  });
  SUCCEED();
}
