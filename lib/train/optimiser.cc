#include "train/optimiser.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace uio {

namespace {

constexpr double kQuintic[] = {3.4445, -4.7750, 2.0315};  // Jordan et al. 2024
constexpr double kMomentum = 0.95;                        // the same, with Nesterov's look ahead
constexpr double kUsualLength = 0.2;                      // root mean square of AdamW's changes, arXiv 2502.16982
constexpr double kTiny = 1e-30;                           // a matrix of zeros has no direction

// Muon's step of one matrix with its momentum.
void step_matrix(const at::Tensor& value, const at::Tensor& slope, const at::Tensor& momentum, double rate, double weight_decay) {
  momentum.mul_(kMomentum).add_(slope);
  const double length = kUsualLength * std::sqrt(static_cast<double>(std::max(value.size(0), value.size(1))));
  value.mul_(1 - rate * weight_decay).sub_(orthogonalised(slope.add(momentum, kMomentum)), rate * length);
}

}  // namespace

double rate_at(const Optimisation& settings, std::uint64_t step, std::uint64_t length) {
  const auto warmup = static_cast<std::uint64_t>(std::floor(settings.warmup * static_cast<double>(length)));
  if (step < warmup) return settings.rate * static_cast<double>(step) / static_cast<double>(warmup);
  if (settings.schedule == "constant") return settings.rate;
  const double whole = static_cast<double>(std::max<std::uint64_t>(1, length - std::min(length, warmup)));
  const double progress = std::min(1.0, static_cast<double>(step - warmup) / whole);
  const double left = settings.schedule == "linear" ? 1 - progress : 0.5 * (1 + std::cos(std::numbers::pi * progress));
  return settings.rate * (settings.final_rate + (1 - settings.final_rate) * left);
}

Optimiser::Optimiser(const Parameters& parameters) {
  for (const Parameter& one : parameters.all()) {
    first_.push_back(at::zeros_like(one.value));
    second_.push_back(at::zeros_like(one.value));
  }
}

void Optimiser::reset() {
  for (at::Tensor& moment : first_) moment.zero_();
  for (at::Tensor& moment : second_) moment.zero_();
  steps_ = 0;
}

at::Tensor orthogonalised(const at::Tensor& matrix) {
  const bool is_tall = matrix.size(0) > matrix.size(1);  // the smaller side's products are cheaper
  at::Tensor x = is_tall ? matrix.t() : matrix;
  x = x / (at::linalg_vector_norm(x) + kTiny);
  for (int i = 0; i < 5; ++i) {
    const at::Tensor squares = x.mm(x.t());
    x = kQuintic[0] * x + (kQuintic[1] * squares + kQuintic[2] * squares.mm(squares)).mm(x);
  }
  return is_tall ? x.t() : x;
}

void Optimiser::step(const Parameters& parameters, std::vector<at::Tensor> gradients, const Optimisation& settings, double rate, double scale) {
  const at::NoGradGuard no_gradients;
  ++steps_;
  for (const bool decays : {true, false}) {
    std::vector<at::Tensor> values, slopes, first, second, counts;
    for (std::size_t i = 0; i < parameters.all().size(); ++i) {
      const Parameter& one = parameters.all()[i];
      if (one.decays != decays) continue;
      const at::Tensor slope = scale == 1 ? gradients[i] : gradients[i].mul_(scale);
      if (settings.optimiser == "muon" && one.maps_features) {
        step_matrix(one.value.detach(), slope, first_[i], rate, settings.weight_decay);
        continue;
      }
      values.push_back(one.value.detach());
      slopes.push_back(slope);
      first.push_back(first_[i]);
      second.push_back(second_[i]);
      counts.push_back(at::full({}, static_cast<double>(steps_), at::TensorOptions().dtype(at::kFloat).device(one.value.device())));
    }
    if (values.empty()) continue;
    at::_fused_adamw_(values, slopes, first, second, /*max_exp_avg_sqs=*/{}, counts, rate, settings.beta1, settings.beta2,
                      decays ? settings.weight_decay : 0.0, settings.epsilon, /*amsgrad=*/false, /*maximize=*/false);
  }
}

double norm_of(const std::vector<at::Tensor>& gradients) {
  double squares = 0;
  for (const at::Tensor& gradient : gradients) {
    const double norm = at::linalg_vector_norm(gradient, 2, std::nullopt, false, at::kDouble).item<double>();
    squares += norm * norm;
  }
  return std::sqrt(squares);
}

}  // namespace uio
