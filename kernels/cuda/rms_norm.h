// Root-mean-square normalisation of rows and its gradient: a block a row, or a few rows.
#pragma once

#include "kernels/cuda/api.h"
#include "kernels/cuda/team.h"

namespace uio::kernels::cuda {

template <typename Added, typename Out, int kWidth, bool kAdds>
struct RmsNormRow {
  RmsNormJob job;

  template <typename Team>
  UIO_DEVICE void operator()(Team& team, std::int64_t row, std::int64_t) const {
    const std::int64_t n = job.n, packs = n / kWidth;
    const float* x = job.x + row * n;
    float* sum = job.sum + (kAdds ? row * n : 0);
    float squares = 0;
    for (std::int64_t i = team.index(); i < packs; i += team.size()) {
      Pack<float, kWidth> here = load<kWidth>(x, i);
      if constexpr (kAdds) {
        const auto more = load<kWidth>(static_cast<const Added*>(job.added) + row * n, i);
        for (int k = 0; k < kWidth; ++k) here.at[k] += widen(more.at[k]);
        store<kWidth>(sum, i, here);
      }
      for (int k = 0; k < kWidth; ++k) squares += here.at[k] * here.at[k];
    }
    const float mean = sum_of_all(team, squares) / static_cast<float>(n);
    const float scale = 1.0f / sqrtf(mean + static_cast<float>(job.epsilon));
    if (job.scales && team.index() == 0) job.scales[row] = scale;
    // Each thread reads back what it wrote itself: no barrier.
    for (std::int64_t i = team.index(); i < packs; i += team.size()) {
      const auto here = load<kWidth>(kAdds ? static_cast<const float*>(sum) : x, i), weight = load<kWidth>(job.weight, i);
      Pack<Out, kWidth> out;
      for (int k = 0; k < kWidth; ++k) out.at[k] = narrow<Out>(here.at[k] * scale * weight.at[k]);
      store<kWidth>(static_cast<Out*>(job.out) + row * n, i, out);
    }
  }
};

// A block goes through the rows of a part in order; each thread has columns of its own.
template <int kWidth>
struct RmsNormSlopePart {
  RmsNormSlopeJob job;

  template <typename Team>
  UIO_DEVICE void operator()(Team& team, std::int64_t part, std::int64_t) const {
    const std::int64_t n = job.n, packs = n / kWidth, first = part * job.part_rows;
    const std::int64_t end = first + job.part_rows < job.rows ? first + job.part_rows : job.rows;
    for (std::int64_t row = first; row < end; ++row) {
      const float *x = job.x + row * n, *slope = job.slope + row * n;
      const float scale = job.scales[row];
      float products = 0;
      for (std::int64_t i = team.index(); i < packs; i += team.size()) {
        const auto here = load<kWidth>(x, i), weight = load<kWidth>(job.weight, i), given = load<kWidth>(slope, i);
        for (int k = 0; k < kWidth; ++k) products += given.at[k] * weight.at[k] * here.at[k];
      }
      const float pull = scale * scale * scale * (sum_of_all(team, products) / static_cast<float>(n));
      for (std::int64_t i = team.index(); i < packs; i += team.size()) {
        const auto here = load<kWidth>(x, i), weight = load<kWidth>(job.weight, i), given = load<kWidth>(slope, i);
        Pack<float, kWidth> out;
        for (int k = 0; k < kWidth; ++k) out.at[k] = given.at[k] * weight.at[k] * scale - here.at[k] * pull;
        if (job.sum_slope) {
          const auto more = load<kWidth>(job.sum_slope + row * n, i);
          for (int k = 0; k < kWidth; ++k) out.at[k] += more.at[k];
        }
        store<kWidth>(job.x_slope + row * n, i, out);
        if (job.parts) {
          float* sums = job.parts + part * n;
          Pack<float, kWidth> sum = {};
          if (row > first) sum = load<kWidth>(static_cast<const float*>(sums), i);
          for (int k = 0; k < kWidth; ++k) sum.at[k] += given.at[k] * scale * here.at[k];
          store<kWidth>(sums, i, sum);
        }
      }
    }
  }
};

template <typename Launch, int kWidth, typename Out>
int launch_rms_norm(const RmsNormJob& job) {
  const int groups = groups_for(job.n / kWidth);
  if (!job.added) return Launch::run(job.rows, groups, RmsNormRow<float, Out, kWidth, false>{job});
  if (job.added_type == Number::kF32) return Launch::run(job.rows, groups, RmsNormRow<float, Out, kWidth, true>{job});
  return Launch::run(job.rows, groups, RmsNormRow<Bf16, Out, kWidth, true>{job});
}

template <typename Launch>
int rms_norm(const RmsNormJob& job) {
  const bool is_wide = job.n % 4 == 0 && are_aligned(16, job.x, job.added, job.sum, job.weight, job.out);
  if (job.out_type == Number::kF32)
    return is_wide ? launch_rms_norm<Launch, 4, float>(job) : launch_rms_norm<Launch, 1, float>(job);
  return is_wide ? launch_rms_norm<Launch, 4, Bf16>(job) : launch_rms_norm<Launch, 1, Bf16>(job);
}

template <typename Launch>
int rms_norm_slope(const RmsNormSlopeJob& job) {
  const std::int64_t parts = (job.rows + job.part_rows - 1) / job.part_rows;
  if (job.n % 4 == 0 && are_aligned(16, job.x, job.weight, job.slope, job.sum_slope, job.x_slope, job.parts))
    return Launch::run(parts, groups_for(job.n / 4), RmsNormSlopePart<4>{job});
  return Launch::run(parts, groups_for(job.n), RmsNormSlopePart<1>{job});
}

}  // namespace uio::kernels::cuda
