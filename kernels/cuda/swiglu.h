// silu(gate) · up and its gradient, number by number.
#pragma once

#include "kernels/cuda/api.h"
#include "kernels/cuda/team.h"

namespace uio::kernels::cuda {

template <typename T, int kWidth>
struct SwigluAll {
  SwigluJob job;

  template <int kSome>
  UIO_DEVICE void some(std::int64_t i) const {
    const auto gate = load<kSome>(static_cast<const T*>(job.gate), i), up = load<kSome>(static_cast<const T*>(job.up), i);
    Pack<T, kSome> out;
    for (int k = 0; k < kSome; ++k) {
      const float x = widen(gate.at[k]);
      out.at[k] = narrow<T>(x / (1.0f + expf(-x)) * widen(up.at[k]));
    }
    store<kSome>(static_cast<T*>(job.out), i, out);
  }

  template <typename Team>
  UIO_DEVICE void operator()(Team& team, std::int64_t block, std::int64_t blocks) const {
    const std::int64_t first = block * team.size() + team.index(), step = blocks * team.size(), packs = job.count / kWidth;
    for (std::int64_t i = first; i < packs; i += step) some<kWidth>(i);
    for (std::int64_t i = packs * kWidth + first; i < job.count; i += step) some<1>(i);
  }
};

// With σ = 1 / (1 + e^−gate): silu' = σ · (1 + gate · (1 − σ)), where 1 − σ = e^−gate · σ loses nothing to a difference.
// e^−gate is held below infinity, which times a σ of 0 would be NaN.
template <typename T, int kWidth>
struct SwigluSlopeAll {
  SwigluSlopeJob job;

  template <int kSome>
  UIO_DEVICE void some(std::int64_t i) const {
    const auto gate = load<kSome>(static_cast<const T*>(job.gate), i), up = load<kSome>(static_cast<const T*>(job.up), i),
               slope = load<kSome>(static_cast<const T*>(job.slope), i);
    Pack<T, kSome> gate_slope, up_slope;
    for (int k = 0; k < kSome; ++k) {
      const float x = widen(gate.at[k]), e = expf(-x < 80.0f ? -x : 80.0f), share = 1.0f / (1.0f + e),
                  gated = widen(slope.at[k]) * share;
      up_slope.at[k] = narrow<T>(gated * x);
      gate_slope.at[k] = narrow<T>(gated * widen(up.at[k]) * (1.0f + x * (e * share)));
    }
    store<kSome>(static_cast<T*>(job.gate_slope), i, gate_slope);
    store<kSome>(static_cast<T*>(job.up_slope), i, up_slope);
  }

  template <typename Team>
  UIO_DEVICE void operator()(Team& team, std::int64_t block, std::int64_t blocks) const {
    const std::int64_t first = block * team.size() + team.index(), step = blocks * team.size(), packs = job.count / kWidth;
    for (std::int64_t i = first; i < packs; i += step) some<kWidth>(i);
    for (std::int64_t i = packs * kWidth + first; i < job.count; i += step) some<1>(i);
  }
};

template <typename Launch, template <typename, int> typename Body, typename Job>
int launch_all(const Job& job, bool is_aligned) {
  const int threads = kMostGroups * Launch::kLanes;
  const auto run = [&](int width, const auto& body) {
    return Launch::run(blocks_for((job.count + width - 1) / width, threads), kMostGroups, body);
  };
  if (job.type == Number::kF32) return is_aligned ? run(4, Body<float, 4>{job}) : run(1, Body<float, 1>{job});
  return is_aligned ? run(8, Body<Bf16, 8>{job}) : run(1, Body<Bf16, 1>{job});
}

template <typename Launch>
int swiglu(const SwigluJob& job) {
  return launch_all<Launch, SwigluAll>(job, are_aligned(16, job.gate, job.up, job.out));
}

template <typename Launch>
int swiglu_slope(const SwigluSlopeJob& job) {
  return launch_all<Launch, SwigluSlopeAll>(job, are_aligned(16, job.gate, job.up, job.slope, job.gate_slope, job.up_slope));
}

}  // namespace uio::kernels::cuda
