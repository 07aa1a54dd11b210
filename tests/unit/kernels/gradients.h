// Checks of differentiable kernels beyond the cases of tests/ops.
#pragma once

#include <catch2/catch.hpp>

#include "ops/gradient_errors.h"

namespace uio::test {

// The op in one type against the plain one in f64.
inline void check_gradients(const Op& op, const Op& plain, const std::vector<at::Tensor>& inputs, double bound, at::ScalarType dtype = at::kFloat) {
  CHECK(gradient_error(op, plain, inputs, std::vector<at::ScalarType>(inputs.size(), dtype), bound) == "");
}

}  // namespace uio::test
