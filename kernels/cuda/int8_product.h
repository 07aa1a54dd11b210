// Few rows times a weight of 8-bit whole numbers: each group of threads reads one row of the weight, once for all rows of x.
#pragma once

#include "kernels/cuda/api.h"
#include "kernels/cuda/team.h"

namespace uio::kernels::cuda {

template <typename T, int kRows, int kWidth>
struct Int8Product {
  Int8ProductJob job;

  template <typename Team>
  UIO_DEVICE void operator()(Team& team, std::int64_t block, std::int64_t) const {
    const std::int64_t out = block * (team.size() / Team::kLanes) + team.index() / Team::kLanes, packs = job.n / kWidth;
    if (out >= job.outs) return;  // the whole group: nobody waits for it
    const std::int8_t* weight = job.weight + out * job.n;
    const T* x = static_cast<const T*>(job.x);
    float sums[kRows] = {};
    for (std::int64_t i = team.index() % Team::kLanes; i < packs; i += Team::kLanes) {
      const auto here = load<kWidth>(weight, i);
      for (int row = 0; row < kRows; ++row) {
        if (row >= job.rows) break;
        if constexpr (kWidth == 1) {
          sums[row] += static_cast<float>(here.at[0]) * widen(x[row * job.n + i]);
        } else {
          for (int k = 0; k < kWidth; k += 4) {
            const auto some = load<4>(x + row * job.n, (i * kWidth + k) / 4);
            for (int m = 0; m < 4; ++m) sums[row] += static_cast<float>(here.at[k + m]) * widen(some.at[m]);
          }
        }
      }
    }
    for (int row = 0; row < kRows; ++row) {
      for (int distance = Team::kLanes / 2; distance > 0; distance /= 2) sums[row] += team.partner(sums[row], distance);
      if (row < job.rows && team.index() % Team::kLanes == 0)
        static_cast<T*>(job.y)[row * job.outs + out] = narrow<T>(job.scales[out] * sums[row]);
    }
  }
};

template <typename Launch, typename T, int kRows>
int launch_int8_product(const Int8ProductJob& job) {
  constexpr int kGroups = 4;
  const std::int64_t blocks = (job.outs + kGroups - 1) / kGroups;
  if (job.n % 16 == 0 && are_aligned(16, job.weight, job.x))
    return Launch::run(blocks, kGroups, Int8Product<T, kRows, 16>{job});
  return Launch::run(blocks, kGroups, Int8Product<T, kRows, 1>{job});
}

template <typename Launch>
int int8_product(const Int8ProductJob& job) {
  const bool is_one = job.rows == 1;
  if (job.type == Number::kF32)
    return is_one ? launch_int8_product<Launch, float, 1>(job) : launch_int8_product<Launch, float, kMostInt8Rows>(job);
  return is_one ? launch_int8_product<Launch, Bf16, 1>(job) : launch_int8_product<Launch, Bf16, kMostInt8Rows>(job);
}

}  // namespace uio::kernels::cuda
