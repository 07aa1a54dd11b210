// The mass of attention on memories, against the softmax written out.
#include "memory/memory_mass.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>

namespace uio {
namespace {

TEST_CASE("mass is the sum of softmax weights over a memory's keys") {
  // Two query heads share each of two KV heads; tokens at 9 and 10 and 11, keys before them and their own.
  at::manual_seed(7);
  const at::Tensor queries = at::randn({1, 4, 3, 5}), keys = at::randn({1, 2, 20, 5});
  const std::vector<MemoryRange> ranges = {{0, 3}, {3, 3}, {7, 2}};
  MemoryMass mass(ranges);
  mass.add(queries, keys, 9, 0.5);
  mass.add(queries * 2, keys, 9, 0.5);  // another layer
  std::vector<double> expected(ranges.size());
  for (const double size : {1.0, 2.0}) {
    for (std::int64_t head = 0; head < 4; ++head) {
      for (std::int64_t t = 0; t < 3; ++t) {
        std::vector<double> weights;
        double sum = 0;
        for (std::int64_t key = 0; key <= 9 + t; ++key) {
          weights.push_back(std::exp(0.5 * size * (queries[0][head][t] * keys[0][head / 2][key]).sum().item<double>()));
          sum += weights.back();
        }
        for (std::size_t r = 0; r < ranges.size(); ++r)
          for (std::int64_t key = ranges[r].begin; key < ranges[r].begin + ranges[r].count; ++key) expected[r] += weights[static_cast<std::size_t>(key)] / sum;
      }
    }
  }
  for (std::size_t r = 0; r < ranges.size(); ++r) CHECK(mass.sums()[static_cast<std::int64_t>(r)].item<double>() == Approx(expected[r]).epsilon(1e-5));
}

TEST_CASE("many queries in pieces give what few at once give") {
  at::manual_seed(8);
  const at::Tensor queries = at::randn({1, 2, 900, 4}), keys = at::randn({1, 1, 3000, 4});
  MemoryMass whole({{0, 1000}, {1000, 1100}}), parts({{0, 1000}, {1000, 1100}});
  whole.add(queries, keys, 2100, 1);
  for (std::int64_t t = 0; t < 900; t += 100) parts.add(queries.narrow(2, t, 100), keys, 2100 + t, 1);
  CHECK(at::allclose(whole.sums(), parts.sums(), 1e-5));
}

TEST_CASE("the largest, in the order of the text") {
  const at::Tensor queries = at::ones({1, 1, 1, 1});
  const at::Tensor keys = at::tensor({1.f, 3.f, 0.f, 3.f, 2.f, 0.f}).view({1, 1, 6, 1});
  MemoryMass mass({{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}});
  mass.add(queries, keys, 5, 1);
  CHECK(mass.largest(1) == std::vector<std::size_t>{3});  // of two equal ones the later
  CHECK(mass.largest(2) == std::vector<std::size_t>{1, 3});
  CHECK(mass.largest(3) == std::vector<std::size_t>{1, 3, 4});
  CHECK(mass.largest(9).size() == 5);
  CHECK(MemoryMass({}).largest(2).empty());
}

}  // namespace
}  // namespace uio
