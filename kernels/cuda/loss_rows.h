// A row of logits becomes its log-softmax at one place, and its own gradient: a block a row.
#pragma once

#include "kernels/cuda/api.h"
#include "kernels/cuda/team.h"

namespace uio::kernels::cuda {

template <int kWidth>
struct LossRow {
  LossRowsJob job;

  template <typename Team>
  UIO_DEVICE void operator()(Team& team, std::int64_t row, std::int64_t) const {
    const std::int64_t n = job.n, packs = n / kWidth, target = job.targets[row];
    float* logits = job.logits + row * n;
    const float chosen = logits[target];  // before anybody writes: that comes after the barriers of the sum
    // One pass: the highest so far, and the sum of exponentials less it.
    float highest = -INFINITY, sum = 0;
    for (std::int64_t i = team.index(); i < packs; i += team.size()) {
      const auto here = load<kWidth>(static_cast<const float*>(logits), i);
      float most = here.at[0];
      for (int k = 1; k < kWidth; ++k) most = here.at[k] > most ? here.at[k] : most;
      if (most > highest) {
        sum *= expf(highest - most);  // 0 · 0 the first time
        highest = most;
      }
      for (int k = 0; k < kWidth; ++k) sum += expf(here.at[k] - highest);
    }
    const float top = greatest_of_all(team, highest);
    // A thread without logits has a highest of −inf and adds nothing.
    const float whole = sum_of_all(team, sum * expf(highest - top));
    if (team.index() == 0) job.values[row] = chosen - (top + logf(whole));
    if (!job.weights) return;
    team.wait();  // a block of one group met no barrier yet: `chosen` has been read by all
    const float weight = job.weights[row], share = weight / whole;
    for (std::int64_t i = team.index(); i < packs; i += team.size()) {
      Pack<float, kWidth> here = load<kWidth>(static_cast<const float*>(logits), i);
      for (int k = 0; k < kWidth; ++k) here.at[k] = expf(here.at[k] - top) * share - (i * kWidth + k == target ? weight : 0.0f);
      store<kWidth>(logits, i, here);
    }
  }
};

template <typename Launch>
int loss_rows(const LossRowsJob& job) {
  if (job.n % 4 == 0 && are_aligned(16, job.logits)) return Launch::run(job.rows, groups_for(job.n / 4), LossRow<4>{job});
  return Launch::run(job.rows, groups_for(job.n), LossRow<1>{job});
}

}  // namespace uio::kernels::cuda
