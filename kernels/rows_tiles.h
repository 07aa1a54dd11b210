// Tiles of products of many rows: six rows by sixteen columns of results stay in registers while their factors pass. Part of rows_body.h.
#pragma once

#include "kernels/rows_lanes.h"

namespace uio::kernels {
namespace {

#if UIO_LANES == 8
// Eight numbers of each of eight rows, by columns.
inline void turn(const float* const* rows, std::int64_t at, __m256* columns) {
  __m256 r[8], t[8];
  for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(rows[i] + at);
  for (int i = 0; i < 4; ++i) t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]), t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  for (int half = 0; half < 2; ++half) {
    const __m256* const q = t + 4 * half;
    r[4 * half] = _mm256_shuffle_ps(q[0], q[2], 0x44), r[4 * half + 1] = _mm256_shuffle_ps(q[0], q[2], 0xee);
    r[4 * half + 2] = _mm256_shuffle_ps(q[1], q[3], 0x44), r[4 * half + 3] = _mm256_shuffle_ps(q[1], q[3], 0xee);
  }
  for (int i = 0; i < 4; ++i) columns[i] = _mm256_permute2f128_ps(r[i], r[4 + i], 0x20), columns[4 + i] = _mm256_permute2f128_ps(r[i], r[4 + i], 0x31);
}

void pack_rows(const float* rows, std::int64_t stride, std::int64_t count, float* out, std::int64_t n) {
  const float* each[8];
  for (std::int64_t r = 0; r < 8; ++r) each[r] = rows + (r < count ? r : count - 1) * stride;
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 8) {  // eight numbers are written for each `count`, the next ones over those too many: the last eight must have others behind them
    __m256 columns[8];
    turn(each, i, columns);
    for (int k = 0; k < 8; ++k) _mm256_storeu_ps(out + (i + k) * count, columns[k]);
  }
  for (; i < n; ++i)
    for (std::int64_t r = 0; r < count; ++r) out[i * count + r] = each[r][i];
}

void pack_columns(const float* rows, std::int64_t stride, std::int64_t count, float* out, std::int64_t n) {
  const float* each[kTileColumns];
  for (std::int64_t r = 0; r < kTileColumns; ++r) each[r] = rows + (r < count ? r : count - 1) * stride;
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 columns[2][8];
    for (int half = 0; half < 2; ++half) turn(each + 8 * half, i, columns[half]);
    for (int k = 0; k < 8; ++k)
      for (int half = 0; half < 2; ++half) _mm256_storeu_ps(out + (i + k) * kTileColumns + 8 * half, columns[half][k]);
  }
  for (; i < n; ++i)
    for (std::int64_t r = 0; r < kTileColumns; ++r) out[i * kTileColumns + r] = each[r][i];
}

template <int kRows>
inline void tile_of(const float* x, const float* w, std::int64_t n, float* out, std::int64_t stride, bool adds) {
  Floats sums[kRows][2] = {};
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) __builtin_prefetch(out + r * stride), __builtin_prefetch(out + r * stride + kTileColumns - 1);
  for (std::int64_t i = 0; i < n; ++i, x += kRows, w += kTileColumns) {
    const Floats low = load(w), high = load(w + kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const Floats factor = (Floats)_mm256_broadcast_ss(x + r);
      sums[r][0] += factor * low;
      sums[r][1] += factor * high;
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    float* const to = out + r * stride;
    store(to, adds ? load(to) + sums[r][0] : sums[r][0]);
    store(to + kLanes, adds ? load(to + kLanes) + sums[r][1] : sums[r][1]);
  }
}

void tile(const float* x, std::int64_t rows, const float* w, std::int64_t n, float* out, std::int64_t stride, bool adds) {
  switch (rows) {
    case 1: return tile_of<1>(x, w, n, out, stride, adds);
    case 2: return tile_of<2>(x, w, n, out, stride, adds);
    case 3: return tile_of<3>(x, w, n, out, stride, adds);
    case 4: return tile_of<4>(x, w, n, out, stride, adds);
    case 5: return tile_of<5>(x, w, n, out, stride, adds);
    default: return tile_of<6>(x, w, n, out, stride, adds);
  }
}
constexpr Tiles kTiles = {pack_rows, pack_columns, tile};
constexpr const Tiles* kOwnTiles = &kTiles;
#else
constexpr const Tiles* kOwnTiles = nullptr;
#endif

}  // namespace
}  // namespace uio::kernels
