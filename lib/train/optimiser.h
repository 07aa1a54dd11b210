// What a step does to the weights, AdamW (arXiv 1711.05101) or Muon, and the rate's schedule.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "io/jobs.h"
#include "train/parameters.h"

namespace uio {

// The rate at step `step` (from 0) of a schedule `length` steps long: a linear rise from 0 over the first floor(warmup · length)
// steps (step 0 of a warm-up has rate 0, as released with arXiv 2406.18173), then cosine, linear or constant to the final rate.
double rate_at(const Optimisation& settings, std::uint64_t step, std::uint64_t length);

class Optimiser {
 public:
  explicit Optimiser(const Parameters& parameters);
  // One step: gradients [as parameters] scaled by `scale`, weights changed in place. With settings.optimiser "muon", matrices that map
  // features to features go along the orthogonal factor of their momentum (Jordan et al. 2024, kellerjordan.github.io/posts/muon) at
  // AdamW's usual length (arXiv 2502.16982, eq. 4: 0.2 · sqrt(the larger side)), so that a rate means the same for both; token rows,
  // the head, norms and biases are AdamW's in any case.
  void step(const Parameters& parameters, std::vector<at::Tensor> gradients, const Optimisation& settings, double rate, double scale);

  // First and second moments by parameter (Muon's matrices have the momentum as their first and zeros as their second), and the
  // number of steps they hold.
  std::vector<at::Tensor>& first() { return first_; }
  std::vector<at::Tensor>& second() { return second_; }
  std::uint64_t steps() const { return steps_; }
  void set_steps(std::uint64_t steps) { steps_ = steps; }
  void reset();

 private:
  std::vector<at::Tensor> first_, second_;
  std::uint64_t steps_ = 0;
};

// The nearest matrix with orthonormal rows or columns, roughly: a matrix [m, n] whose singular values are moved to about 1 (0.7 to 1.2)
// by five steps of the quintic iteration of Jordan et al. 2024; zeros stay zeros.
at::Tensor orthogonalised(const at::Tensor& matrix);

// Norm of all gradients together, in f64; their order is the parameters', so it is the same every time.
double norm_of(const std::vector<at::Tensor>& gradients);

}  // namespace uio
