// Products of many rows against the same in double, and bits that depend on nothing but the two rows of a number.
#include "kernels/many_rows.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <utility>
#include <vector>

#include "unit/kernels/compare.h"

namespace uio::kernels {
namespace {

using test::normal;

struct Weight {
  Weight(std::int64_t out, std::int64_t in, at::ScalarType dtype, std::uint64_t seed) {
    const at::Tensor values = normal({out, in}, seed, at::kFloat);
    if (dtype == at::kChar) rounded = rounded_to_int8(values);
    else plain = values.to(dtype);
  }
  RowWeight view() const { return plain.defined() ? row_weight(plain) : row_weight(rounded); }
  at::Tensor exact() const { return plain.defined() ? plain.to(at::kDouble) : rounded.values.to(at::kDouble) * rounded.scales.to(at::kDouble).unsqueeze(1); }
  at::Tensor plain;
  Int8Weight rounded;
};

TEST_CASE("products of many rows are those in double, whatever the sizes and the weights' dtype") {
  for (const auto& [rows, in] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {5, 7}, {6, 8}, {7, 17}, {13, 255}, {64, 256}, {121, 257}, {30, 800}}) {
    const at::Tensor x = normal({rows, in}, 1, at::kFloat);
    if (!fits_many_rows(x)) return;  // BLAS does it here
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf, at::kChar}) {
      std::vector<Weight> weights;
      for (const std::int64_t out : {1, 15, 16, 17, 200, 413}) weights.emplace_back(out, in, dtype, static_cast<std::uint64_t>(out));
      std::vector<RowWeight> views;
      for (const Weight& weight : weights) views.push_back(weight.view());
      const std::vector<at::Tensor> found = many_rows_each(x, views);
      for (std::size_t i = 0; i < weights.size(); ++i) {
        INFO(rows << " rows of " << in << ", " << views[i].out << " of " << dtype);
        const at::Tensor exact = weights[i].exact(), wanted = at::linear(x.to(at::kDouble), exact), sizes = at::linear(x.to(at::kDouble).abs(), exact.abs());
        REQUIRE(found[i].sizes() == wanted.sizes());
        CHECK((found[i].to(at::kDouble) - wanted).abs().le(sizes * 2e-6).all().item<bool>());
      }
    }
  }
}

TEST_CASE("a number of a product has its bits whichever rows, weights and threads are beside it") {
  const std::int64_t rows = 45, in = 530;
  const at::Tensor x = normal({rows, in}, 1, at::kFloat);
  if (!fits_many_rows(x)) return;
  const Weight wide(700, in, at::kBFloat16, 2), narrow(37, in, at::kBFloat16, 3);
  const RowWeight both[] = {wide.view(), narrow.view()};
  const std::vector<at::Tensor> whole = many_rows_each(x, both);
  const int before = at::get_num_threads();
  for (const int count : {1, 2, 5}) {
    at::set_num_threads(count);
    const std::vector<at::Tensor> again = many_rows_each(x, both);
    CHECK(at::equal(again[0], whole[0]));
    CHECK(at::equal(again[1], whole[1]));
    CHECK(at::equal(many_rows_each(x, {both + 1, 1}).front(), whole[1]));
    for (const auto& [first, some] : {std::pair<std::int64_t, std::int64_t>{0, 1}, {3, 7}, {20, 25}}) {
      CHECK(at::equal(many_rows_each(x.narrow(0, first, some), both)[0], whole[0].narrow(0, first, some)));
      const at::Tensor part = wide.plain.narrow(0, first, some);
      const RowWeight only = row_weight(part);
      CHECK(at::equal(many_rows_each(x, {&only, 1}).front(), whole[0].narrow(1, first, some)));
    }
  }
  at::set_num_threads(before);
}

TEST_CASE("what is not a number stays where it is") {
  at::Tensor x = normal({20, 300}, 1, at::kFloat);
  if (!fits_many_rows(x)) return;
  x[7][299] = NAN;
  x[8][0] = INFINITY;
  at::Tensor weight = normal({30, 300}, 2, at::kFloat);
  weight[29][5] = NAN;
  const RowWeight only = row_weight(weight);
  const at::Tensor finite = many_rows_each(x, {&only, 1}).front().isfinite();
  at::Tensor wanted = at::ones({20, 30}, at::kBool);
  wanted[7].fill_(false), wanted[8].fill_(false), wanted.select(1, 29).fill_(false);
  CHECK(at::equal(finite, wanted));
}

}  // namespace
}  // namespace uio::kernels
