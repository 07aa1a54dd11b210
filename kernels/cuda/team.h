// What the bodies of the CUDA kernels are written in, so that g++ compiles them too and a test runs them with threads of the
// CPU. A body is called once a block as body(team, block, blocks) by each thread of that block; a team has
//   index(), size()        this thread's place in the block; the size is a multiple of kLanes
//   partner(x, distance)   x of the thread whose place among its kLanes neighbours differs by the bit `distance`; all of them
//   call it wait()                 a barrier of the whole block, memory included scratch()              kMostGroups floats that
//   the block shares
// A Launch has run(blocks, groups, body): a block is `groups` times kLanes threads. It returns 0 or the device's error.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define UIO_DEVICE __host__ __device__ __forceinline__
#else
#define UIO_DEVICE inline
#endif

namespace uio::kernels::cuda {

constexpr int kMostGroups = 8;  // of threads that a block consists of
constexpr std::int64_t kMostBlocks =
    2048;  // of bodies that walk through numbers with strides: enough for every processor of a device

// --- numbers

struct Bf16 {
  std::uint16_t bits;
};

UIO_DEVICE float widen(float x) { return x; }
UIO_DEVICE float widen(Bf16 x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x.bits) << 16;
  float wide;
  memcpy(&wide, &bits, 4);
  return wide;
}

// To the nearest, ties to even; NaN stays NaN.
template <typename T>
UIO_DEVICE T narrow(float x);
template <>
UIO_DEVICE float narrow<float>(float x) {
  return x;
}
template <>
UIO_DEVICE Bf16 narrow<Bf16>(float x) {
  std::uint32_t bits;
  memcpy(&bits, &x, 4);
  const std::uint32_t rounded = x != x ? (bits >> 16) | 0x40 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return {static_cast<std::uint16_t>(rounded)};
}

// --- numbers side by side, read and written at once

template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T at[kWidth];
};

// The pack number `i` of an array that begins on a pack's boundary.
template <int kWidth, typename T>
UIO_DEVICE Pack<T, kWidth> load(const T* from, std::int64_t i) {
  return reinterpret_cast<const Pack<T, kWidth>*>(from)[i];
}
template <int kWidth, typename T>
UIO_DEVICE void store(T* to, std::int64_t i, const Pack<T, kWidth>& pack) {
  reinterpret_cast<Pack<T, kWidth>*>(to)[i] = pack;
}

// True if every address is one at which `bytes` can be read at once; null ones are.
template <typename... Pointers>
bool are_aligned(std::size_t bytes, const Pointers*... pointers) {
  return (... && (reinterpret_cast<std::uintptr_t>(pointers) % bytes == 0));
}

// --- what a block finds together; every thread gets the answer, in the same bits

template <typename Team, typename Combine>
UIO_DEVICE float combine_all(Team& team, float x, const Combine& combine) {
  for (int distance = Team::kLanes / 2; distance > 0; distance /= 2) x = combine(x, team.partner(x, distance));
  const int groups = team.size() / Team::kLanes;
  if (groups == 1) return x;
  if (team.index() % Team::kLanes == 0) team.scratch()[team.index() / Team::kLanes] = x;
  team.wait();
  x = team.scratch()[0];
  for (int group = 1; group < groups; ++group) x = combine(x, team.scratch()[group]);
  team.wait();  // the scratch is the next one's
  return x;
}

struct Add {
  UIO_DEVICE float operator()(float a, float b) const { return a + b; }
};
struct Greater {  // NaN wins: it must not get lost
  UIO_DEVICE float operator()(float a, float b) const { return a > b || a != a ? a : b; }
};

template <typename Team>
UIO_DEVICE float sum_of_all(Team& team, float x) {
  return combine_all(team, x, Add());
}
template <typename Team>
UIO_DEVICE float greatest_of_all(Team& team, float x) {
  return combine_all(team, x, Greater());
}

// Groups of threads for a row of so many steps: short rows leave no thread idle, long ones have the whole block.
inline int groups_for(std::int64_t steps) { return steps <= 128 ? 1 : steps <= 512 ? 4 : kMostGroups; }

inline std::int64_t blocks_for(std::int64_t steps, std::int64_t threads) {
  const std::int64_t blocks = (steps + threads - 1) / threads;
  return blocks < kMostBlocks ? blocks : kMostBlocks;
}

}  // namespace uio::kernels::cuda
