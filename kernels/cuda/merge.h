// Attention over parts of the keys merged by their log-sum-exp, number by number.
#pragma once

#include "kernels/cuda/api.h"
#include "kernels/cuda/team.h"

namespace uio::kernels::cuda {

template <typename T, int kWidth>
struct MergeAll {
  MergeJob job;

  template <typename Team>
  UIO_DEVICE void operator()(Team& team, std::int64_t block, std::int64_t blocks) const {
    const std::int64_t packs = job.n / kWidth, all = job.batch * job.rows * job.heads * packs;
    for (std::int64_t at = block * team.size() + team.index(); at < all; at += blocks * team.size()) {
      const std::int64_t j = at % packs, head = at / packs % job.heads, row = at / packs / job.heads % job.rows,
                         batch = at / packs / job.heads / job.rows;
      float lses[kMostPartials], highest = -INFINITY, whole = 0;
      for (int p = 0; p < job.count; ++p) {
        lses[p] = job.lses[p][batch * job.lse_strides[p][0] + head * job.lse_strides[p][1] + row * job.lse_strides[p][2]];
        highest = lses[p] > highest || lses[p] != lses[p] ? lses[p] : highest;
      }
      for (int p = 0; p < job.count; ++p) whole += expf(lses[p] - highest);
      float sums[kWidth] = {};
      for (int p = 0; p < job.count; ++p) {
        const float share = expf(lses[p] - highest) / whole;
        const T* from = static_cast<const T*>(job.partials[p]) + batch * job.strides[p][0] + head * job.strides[p][1] +
                        row * job.strides[p][2];
        const auto here = load<kWidth>(from, j);
        for (int k = 0; k < kWidth; ++k) sums[k] += share * widen(here.at[k]);
      }
      Pack<T, kWidth> out;
      for (int k = 0; k < kWidth; ++k) out.at[k] = narrow<T>(sums[k]);
      store<kWidth>(static_cast<T*>(job.out), at, out);
    }
  }
};

template <typename Launch>
int merge(const MergeJob& job) {
  bool is_wide = job.n % 4 == 0 && are_aligned(16, job.out);
  for (int p = 0; p < job.count; ++p) {
    is_wide = is_wide && are_aligned(16, job.partials[p]);
    for (int i = 0; i < 3; ++i) is_wide = is_wide && job.strides[p][i] % 4 == 0;
  }
  const auto run = [&](int width, const auto& body) {
    return Launch::run(blocks_for(job.batch * job.heads * job.rows * (job.n / width), kMostGroups * Launch::kLanes),
                       kMostGroups, body);
  };
  if (job.type == Number::kF32) return is_wide ? run(4, MergeAll<float, 4>{job}) : run(1, MergeAll<float, 1>{job});
  return is_wide ? run(4, MergeAll<Bf16, 4>{job}) : run(1, MergeAll<Bf16, 1>{job});
}

}  // namespace uio::kernels::cuda
