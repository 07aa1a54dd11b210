// How far two tensors are apart, for the tests of kernels.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <random>

#include "unit/kernels/force_reference.h"

namespace uio::test {

// Mean square of the difference over the mean square of what is expected; infinite where shapes or NaNs differ.
inline double mean_square_error(const at::Tensor& found, const at::Tensor& expected) {
  if (found.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  const at::Tensor a = found.to(at::kDouble), b = expected.to(at::kDouble);
  const double error = (a - b).square().mean().item<double>(), scale = b.square().mean().item<double>();
  return std::isfinite(error) ? error / std::max(scale, 1e-300) : std::numeric_limits<double>::infinity();
}

// Stated tolerances of the kernels, as that error: rounding of the result, and for f32 of the sums.
inline double tolerance(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return 1e-28;
    case at::kFloat:
      return 1e-12;
    case at::kHalf:
      return 1e-6;
    default:
      return 3e-5;  // bfloat16: 2^-9 relative, twice
  }
}

// Normal numbers that depend on the seed alone.
inline at::Tensor normal(at::IntArrayRef sizes, std::uint64_t seed, at::ScalarType dtype = at::kDouble) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::randn(sizes, generator, at::TensorOptions().dtype(at::kDouble)).to(dtype);
}

// Which of `keys` each of `count` queries sees, by chance.
inline at::Tensor random_mask(std::int64_t count, std::int64_t keys, unsigned seed, double density) {
  std::mt19937 random(seed);
  std::bernoulli_distribution sees(density);
  at::Tensor mask = at::zeros({count, keys}, at::kBool);
  for (std::int64_t i = 0; i < mask.numel(); ++i) mask.mutable_data_ptr<bool>()[i] = sees(random);
  return mask;
}

}  // namespace uio::test
