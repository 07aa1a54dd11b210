// Rotary embedding of strided rows, pair by pair.
#pragma once

#include "kernels/cuda/api.h"
#include "kernels/cuda/team.h"

namespace uio::kernels::cuda {

template <typename T, int kWidth>
struct RotaryAll {
  RotaryJob job;

  template <typename Team>
  UIO_DEVICE void operator()(Team& team, std::int64_t block, std::int64_t blocks) const {
    const std::int64_t packs = job.half / kWidth, all = job.batch * job.count * job.heads * packs;
    for (std::int64_t at = block * team.size() + team.index(); at < all; at += blocks * team.size()) {
      const std::int64_t j = at % packs, head = at / packs % job.heads, token = at / packs / job.heads % job.count,
                         batch = at / packs / job.heads / job.count;
      const T* from =
          static_cast<const T*>(job.x) + batch * job.from_strides[0] + head * job.from_strides[1] + token * job.from_strides[2];
      T* to = static_cast<T*>(job.out) + batch * job.to_strides[0] + head * job.to_strides[1] + token * job.to_strides[2];
      const auto a = load<kWidth>(from, j), b = load<kWidth>(from + job.half, j);
      const auto cosine = load<kWidth>(job.cosine + token * job.half, j), sine = load<kWidth>(job.sine + token * job.half, j);
      Pack<T, kWidth> left, right;
      for (int k = 0; k < kWidth; ++k) {
        const float x = widen(a.at[k]), y = widen(b.at[k]);
        left.at[k] = narrow<T>(x * cosine.at[k] - y * sine.at[k]);
        right.at[k] = narrow<T>(y * cosine.at[k] + x * sine.at[k]);
      }
      store<kWidth>(to, j, left);
      store<kWidth>(to + job.half, j, right);
    }
  }
};

template <typename Launch>
int rotary(const RotaryJob& job) {
  bool is_wide = job.half % 4 == 0 && are_aligned(16, job.x, job.out, job.cosine, job.sine);
  for (int i = 0; i < 3; ++i) is_wide = is_wide && job.from_strides[i] % 4 == 0 && job.to_strides[i] % 4 == 0;
  const auto run = [&](int width, const auto& body) {
    return Launch::run(blocks_for(job.batch * job.heads * job.count * (job.half / width), kMostGroups * Launch::kLanes),
                       kMostGroups, body);
  };
  if (job.type == Number::kF32) return is_wide ? run(4, RotaryAll<float, 4>{job}) : run(1, RotaryAll<float, 1>{job});
  return is_wide ? run(4, RotaryAll<Bf16, 4>{job}) : run(1, RotaryAll<Bf16, 1>{job});
}

}  // namespace uio::kernels::cuda
