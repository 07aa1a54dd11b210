// Products with weights of 8 bits: how they are rounded, and numbers that are not finite. The values of products are in tests/ops.
#include "kernels/int8_linear.h"

#include <catch2/catch.hpp>

#include "unit/kernels/compare.h"

namespace uio::kernels {
namespace {

using test::normal;

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
