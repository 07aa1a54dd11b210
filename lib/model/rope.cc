#include "model/rope.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "kernels/rotary.h"

namespace uio {

RopeFrequencies rope_frequencies(const RopeConfig& rope, std::int64_t head_size, std::int64_t positions, std::int64_t length) {
  const auto half = static_cast<std::size_t>(head_size / 2);
  const double size = static_cast<double>(head_size);
  RopeFrequencies out;
  out.inverse.resize(half);

  double theta = rope.theta;
  if (rope.kind == RopeKind::kDynamic && head_size > 2) {
    const double longest = static_cast<double>(std::max(length, positions)), pretrained = static_cast<double>(positions);
    theta *= std::pow(rope.factor * longest / pretrained - (rope.factor - 1), size / (size - 2));
  }
  for (std::size_t j = 0; j < half; ++j) out.inverse[j] = std::pow(theta, -2.0 * static_cast<double>(j) / size);

  switch (rope.kind) {
    case RopeKind::kDefault:
    case RopeKind::kDynamic: break;
    case RopeKind::kLinear:
      for (double& frequency : out.inverse) frequency /= rope.factor;
      break;
    case RopeKind::kLlama3:
      for (double& frequency : out.inverse) {
        const double wavelength = 2 * std::numbers::pi / frequency;
        if (wavelength > rope.original_positions / rope.low_freq_factor) {
          frequency /= rope.factor;
        } else if (wavelength >= rope.original_positions / rope.high_freq_factor) {
          const double smooth =
              (rope.original_positions / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
          frequency *= (1 - smooth) / rope.factor + smooth;
        }
      }
      break;
    case RopeKind::kYarn: {
      const auto dimension_of = [&](double rotations) {
        return size * std::log(rope.original_positions / (rotations * 2 * std::numbers::pi)) / (2 * std::log(rope.theta));
      };
      double low = dimension_of(rope.beta_fast), high = dimension_of(rope.beta_slow);
      if (rope.truncate) low = std::floor(low), high = std::ceil(high);
      low = std::max(low, 0.0), high = std::min(high, size - 1);
      if (low == high) high += 0.001;
      for (std::size_t j = 0; j < half; ++j) {
        const double interpolated = std::clamp((static_cast<double>(j) - low) / (high - low), 0.0, 1.0);
        out.inverse[j] *= interpolated / rope.factor + (1 - interpolated);
      }
      const auto temperature = [&](double weight) { return rope.factor <= 1 ? 1.0 : 0.1 * weight * std::log(rope.factor) + 1.0; };
      out.scale = rope.attention_factor != 0                   ? rope.attention_factor
                  : rope.mscale != 0 && rope.mscale_all_dim != 0 ? temperature(rope.mscale) / temperature(rope.mscale_all_dim)
                                                                 : temperature(1);
      break;
    }
  }
  return out;
}

RopeTable::RopeTable(const ModelConfig& config, std::int64_t length, at::ScalarType dtype, at::Device device)
    : frequencies_(rope_frequencies(config.rope, config.head_size, config.positions, length)),
      length_(length),
      dtype_(dtype == at::kDouble ? at::kDouble : at::kFloat),
      device_(device) {}

void RopeTable::make(std::int64_t count) const {
  const std::int64_t have = cosine_.defined() ? cosine_.size(0) : 0;
  if (count <= have) return;
  if (count > length_)
    throw Error(ErrorKind::kInternal, "positions beyond the table", "", std::to_string(count) + " wanted, " + std::to_string(length_) + " there");
  count = std::min(length_, std::max<std::int64_t>({count, 2 * have, 64}));  // grows by doubling: a long table is not made for a short text
  const auto half = static_cast<std::int64_t>(frequencies_.inverse.size());
  at::Tensor cosine = at::empty({count, half}, at::kDouble), sine = at::empty({count, half}, at::kDouble);
  double* cosines = cosine.mutable_data_ptr<double>();
  double* sines = sine.mutable_data_ptr<double>();
  for (std::int64_t position = 0; position < count; ++position) {
    for (std::int64_t j = 0; j < half; ++j) {
      const double inverse = frequencies_.inverse[static_cast<std::size_t>(j)];
      const double angle = dtype_ == at::kDouble ? static_cast<double>(position) * inverse
                                                 : static_cast<double>(static_cast<float>(position) * static_cast<float>(inverse));
      cosines[position * half + j] = std::cos(angle) * frequencies_.scale;
      sines[position * half + j] = std::sin(angle) * frequencies_.scale;
    }
  }
  cosine_ = cosine.to(device_, dtype_), sine_ = sine.to(device_, dtype_);
}

at::Tensor RopeTable::rotate(const at::Tensor& x, std::int64_t first) const {
  const std::int64_t count = x.size(-2);
  make(first + count);
  return kernels::rotary(x, cosine_.narrow(0, first, count), sine_.narrow(0, first, count));
}

at::Tensor RopeTable::rotate(const at::Tensor& x, const at::Tensor& positions) const {
  if (positions.numel() > 0) make(positions.max().item<std::int64_t>() + 1);
  return kernels::rotary(x, cosine_.index_select(0, positions), sine_.index_select(0, positions));
}

kernels::Angles RopeTable::angles(std::int64_t position) const {
  make(position + 1);
  const std::int64_t half = cosine_.size(1);
  return {cosine_.const_data_ptr<float>() + position * half, sine_.const_data_ptr<float>() + position * half};
}

}  // namespace uio
