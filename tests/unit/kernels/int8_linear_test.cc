// Products with weights of 8 bits: what is rounded, what is not, and few rows against many.
#include "kernels/int8_linear.h"

#include <catch2/catch.hpp>

#include "unit/kernels/compare.h"

namespace uio::kernels {
namespace {

using test::ForceReference;
using test::mean_square_error;
using test::normal;
using test::tolerance;

at::Tensor widened(const Int8Weight& weight) { return weight.values.to(at::kDouble) * weight.scales.to(at::kDouble).unsqueeze(1); }

TEST_CASE("a weight is rounded by rows, to half a step") {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf}) {
    const at::Tensor weight = (normal({37, 130}, 3) * at::arange(1, 38).unsqueeze(1)).to(dtype);
    const Int8Weight rounded = rounded_to_int8(weight);
    const at::Tensor exact = weight.to(at::kDouble), scales = rounded.scales.to(at::kDouble);
    CHECK(at::allclose(scales, std::get<0>(exact.abs().max(1)) / 127, 1e-6));
    CHECK(((widened(rounded) - exact).abs() / scales.unsqueeze(1)).max().item<double>() < 0.5001);
  }
  const Int8Weight zeros = rounded_to_int8(at::zeros({2, 5}));
  CHECK(widened(zeros).abs().max().item<double>() == 0);
}

TEST_CASE("a product with a rounded weight is that of the rounded numbers") {
  for (const std::int64_t rows : {1, 2, 8, 9, 40}) {
    for (const auto& [in, out] : {std::pair{1, 1}, std::pair{33, 70}, std::pair{768, 300}, std::pair{5000, 17}}) {
      INFO(rows << " x " << in << " x " << out);
      const Int8Weight weight = rounded_to_int8(normal({out, in}, 5));
      const at::Tensor x = normal({rows, in}, 6, at::kFloat), bias = normal({out}, 7, at::kFloat);
      const at::Tensor exact = at::linear(x.to(at::kDouble), widened(weight), bias.to(at::kDouble));
      // Of few rows the activations are rounded to 13 bits of the row's largest.
      const double bound = rows <= 8 ? 1e-6 : tolerance(at::kFloat);
      CHECK(mean_square_error(kernels::linear(x, weight, bias), exact) < bound);
      CHECK(mean_square_error(kernels::linear(x, weight), exact - bias.to(at::kDouble)) < bound);
      CHECK(mean_square_error(linear_reference(x, weight, bias), exact) < tolerance(at::kFloat));
      CHECK(mean_square_error(kernels::linear(x.to(at::kDouble), weight, bias), exact) < 1e-14);
      const ForceReference reference;
      CHECK(at::equal(kernels::linear(x, weight, bias), linear_reference(x, weight, bias)));
    }
  }
}

TEST_CASE("a row with a number that is not finite gives none that is") {
  const Int8Weight weight = rounded_to_int8(normal({6, 40}, 8));
  at::Tensor x = normal({3, 40}, 9, at::kFloat);
  x[1][7] = INFINITY;
  const at::Tensor y = kernels::linear(x, weight);
  CHECK(y[0].isfinite().all().item<bool>());
  CHECK_FALSE(y[1].isfinite().any().item<bool>());
  CHECK(y[2].isfinite().all().item<bool>());
  CHECK(kernels::linear(at::empty({0, 40}), weight).sizes() == at::IntArrayRef({0, 6}));
}

}  // namespace
}  // namespace uio::kernels
