// The row kernels of whole numbers: rounding, and products that are exact. Part of rows_body.h.
#pragma once

#include "kernels/rows_lanes.h"

namespace uio::kernels {
namespace {

// The largest |x|, NaN if any is not finite.
inline float largest(const float* x, std::int64_t n) {
  Floats sizes = {}, odds = {};  // odds: 0, or NaN from inf − inf or NaN
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Floats value = load(x + i), size = value < 0 ? -value : value;
    sizes = size > sizes ? size : sizes;
    odds += value - value;
  }
  float most = 0, odd = sum(odds);
  for (int lane = 0; lane < kLanes; ++lane) most = sizes[lane] > most ? sizes[lane] : most;
  for (; i < n; ++i) {
    const float size = x[i] < 0 ? -x[i] : x[i];
    most = size > most ? size : most;
    odd += x[i] - x[i];
  }
  return most + odd;
}
template <typename Whole>
inline float round_row(const float* x, Whole* out, std::int64_t n, float most) {
  const float size = largest(x, n);
  const float factor = size > 0 ? most / size : 0;  // 0 also for NaN
  const float magic = 12582912.0f;                  // 1.5 · 2^23: adding it rounds to an integer, ties to even
  std::int64_t i = 0;
  if (factor > 0) {
    for (; i + kLanes <= n; i += kLanes) {
      const Ints whole = __builtin_convertvector((load(x + i) * factor + magic) - magic, Ints);
      if constexpr (sizeof(Whole) == 2) *reinterpret_cast<Halves*>(out + i) = __builtin_convertvector((Words)whole, Halves);
      else *reinterpret_cast<Bytes*>(out + i) = __builtin_convertvector((Words)whole, Bytes);
    }
  }
  for (; i < n; ++i) {
    const float scaled = factor > 0 ? x[i] * factor : 0;
    out[i] = static_cast<Whole>((scaled + magic) - magic);
  }
  return size / most;
}
float round_i8(const float* x, std::int8_t* out, std::int64_t n) { return round_row(x, out, n, 127); }
float round_i16(const float* x, std::int16_t* out, std::int64_t n) { return round_row(x, out, n, 4095); }
void widen_i8(const std::int8_t* x, float scale, float* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = scale * static_cast<float>(x[i]);
}

// Σ w·x of at most 2^12 numbers.
inline std::int32_t dot_i8(const std::int8_t* w, const std::int16_t* x, std::int64_t n) {
  std::int64_t i = 0;
#if UIO_LANES == 16
  __m512i a = {}, b = {};
  const auto products = [&](std::int64_t at) {
    return _mm512_madd_epi16(_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + at))), _mm512_loadu_si512(x + at));
  };
  for (; i + 64 <= n; i += 64) {
    a = _mm512_add_epi32(a, products(i));
    b = _mm512_add_epi32(b, products(i + 32));
  }
  std::int32_t total = _mm512_reduce_add_epi32(_mm512_add_epi32(a, b));
#elif UIO_LANES == 8
  __m256i a = {}, b = {};
  const auto products = [&](std::int64_t at) {
    return _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w + at))),
                             _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + at)));
  };
  for (; i + 64 <= n; i += 64) {  // a cache line of weights, and the one that will be needed some 100 ns later asked for
    __builtin_prefetch(w + i + 1024);
    a = _mm256_add_epi32(a, products(i));
    b = _mm256_add_epi32(b, products(i + 16));
    a = _mm256_add_epi32(a, products(i + 32));
    b = _mm256_add_epi32(b, products(i + 48));
  }
  for (; i + 32 <= n; i += 32) {
    a = _mm256_add_epi32(a, products(i));
    b = _mm256_add_epi32(b, products(i + 16));
  }
  const Ints both = (Ints)_mm256_add_epi32(a, b);
  std::int32_t total = 0;
  for (int lane = 0; lane < kLanes; ++lane) total += both[lane];
#else
  std::int32_t total = 0;
#endif
  for (; i < n; ++i) total += static_cast<std::int32_t>(w[i]) * x[i];
  return total;
}
#if UIO_LANES >= 8
// Four short rows at once: adding up the lanes of one alone takes longer than its products.
inline __m128i dots_i8(const std::int8_t* w0, const std::int8_t* w1, const std::int8_t* w2, const std::int8_t* w3, const std::int16_t* x, std::int64_t n) {
  __m256i a = {}, b = {}, c = {}, d = {};
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256i with = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
    const auto products = [&](const std::int8_t* row) { return _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row))), with); };
    a = _mm256_add_epi32(a, products(w0 + i));
    b = _mm256_add_epi32(b, products(w1 + i));
    c = _mm256_add_epi32(c, products(w2 + i));
    d = _mm256_add_epi32(d, products(w3 + i));
  }
  const __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
  const __m128i totals = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
  if (i == n) return totals;
  std::int32_t rest[4] = {};
  for (std::int64_t j = i; j < n; ++j) {
    const std::int32_t with = x[j];
    rest[0] += w0[j] * with, rest[1] += w1[j] * with, rest[2] += w2[j] * with, rest[3] += w3[j] * with;
  }
  return _mm_add_epi32(totals, _mm_loadu_si128(reinterpret_cast<const __m128i*>(rest)));
}
#endif
constexpr std::int64_t kShortRow = 256;
#if UIO_LANES >= 8
inline void store_scaled(float* out, __m128i totals, __m128 scales, __m256d factor) {
  _mm_storeu_ps(out, _mm256_cvtpd_ps(_mm256_mul_pd(_mm256_cvtepi32_pd(totals), _mm256_mul_pd(_mm256_cvtps_pd(scales), factor))));
}
#endif
// One row.
inline float product_i8(const std::int8_t* w, float scale, const std::int16_t* x, float x_scale, std::int64_t n) {
  constexpr std::int64_t kExact = 1 << 12;  // 2^12 · 127 · 4095 < 2^31
  std::int64_t total = 0;
  for (std::int64_t i = 0; i < n; i += kExact) total += dot_i8(w + i, x + i, n - i < kExact ? n - i : kExact);
  return static_cast<float>(static_cast<double>(total) * (static_cast<double>(scale) * x_scale));
}
void matvec_i8(const std::int8_t* w, const float* scales, const std::int16_t* x, float x_scale, float* out, std::int64_t outs, std::int64_t n) {
  std::int64_t done = 0;
#if UIO_LANES >= 8
  if (n <= kShortRow) {
    const __m256d factor = _mm256_set1_pd(static_cast<double>(x_scale));
    for (; done + 4 <= outs; done += 4, w += 4 * n) store_scaled(out + done, dots_i8(w, w + n, w + 2 * n, w + 3 * n, x, n), _mm_loadu_ps(scales + done), factor);
  }
#endif
  for (std::int64_t o = done; o < outs; ++o, w += n) out[o] = product_i8(w, scales[o], x, x_scale, n);
}
void matvec_named_i8(const std::int8_t* w, const float* scales, const std::int32_t* rows, const std::int16_t* x, float x_scale, float* out, std::int64_t count, std::int64_t n) {
  const auto row = [&](std::int64_t i) { return w + static_cast<std::int64_t>(rows[i]) * n; };
  std::int64_t done = 0;
#if UIO_LANES >= 8
  if (n <= kShortRow) {
    const __m256d factor = _mm256_set1_pd(static_cast<double>(x_scale));
    for (; done + 4 <= count; done += 4)
      store_scaled(out + done, dots_i8(row(done), row(done + 1), row(done + 2), row(done + 3), x, n),
                   _mm_setr_ps(scales[rows[done]], scales[rows[done + 1]], scales[rows[done + 2]], scales[rows[done + 3]]), factor);
  }
#endif
  for (; done < count; ++done) out[done] = product_i8(row(done), scales[rows[done]], x, x_scale, n);
}

#if UIO_LANES >= 8
// Weights of eight rows as pairs of numbers: pair p of all eight lies in panel[p], so that one multiplication serves a pair of each row and none of their
// lanes has to be added up.
inline void pair_rows(const std::int8_t* w, std::int64_t n, __m256i* panel, std::int64_t step) {
  for (std::int64_t i = 0; i < n; i += 16, panel += 8 * step) {
    __m128i r[8], s[8];
    for (int row = 0; row < 8; ++row) r[row] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w + row * n + i));
    for (int k = 0; k < 4; ++k) s[k] = _mm_unpacklo_epi16(r[2 * k], r[2 * k + 1]), s[4 + k] = _mm_unpackhi_epi16(r[2 * k], r[2 * k + 1]);
    for (int half = 0; half < 2; ++half) {
      const __m128i* const t = s + 4 * half;
      const __m128i a = _mm_unpacklo_epi32(t[0], t[1]), b = _mm_unpacklo_epi32(t[2], t[3]), c = _mm_unpackhi_epi32(t[0], t[1]), d = _mm_unpackhi_epi32(t[2], t[3]);
      const __m128i pairs[4] = {_mm_unpacklo_epi64(a, b), _mm_unpackhi_epi64(a, b), _mm_unpacklo_epi64(c, d), _mm_unpackhi_epi64(c, d)};
      for (int p = 0; p < 4; ++p) panel[(4 * half + p) * step] = _mm256_cvtepi8_epi16(pairs[p]);
    }
  }
}
// `kCount` rows x with the 16 rows of a panel.
template <int kCount>
inline void panel_products(const __m256i* panel, const float* scales, const std::int16_t* x, const float* x_scales, float* out, std::int64_t outs, std::int64_t n) {
  __m256i sums[kCount][2] = {};
  for (std::int64_t p = 0; p < n / 2; ++p)
    for (int row = 0; row < kCount; ++row) {
      std::int32_t two;
      __builtin_memcpy(&two, x + row * n + 2 * p, sizeof(two));
      const __m256i with = _mm256_set1_epi32(two);
      for (int half = 0; half < 2; ++half) sums[row][half] = _mm256_add_epi32(sums[row][half], _mm256_madd_epi16(panel[2 * p + half], with));
    }
  for (int row = 0; row < kCount; ++row) {
    const __m256d factor = _mm256_set1_pd(static_cast<double>(x_scales[row]));
    for (int four = 0; four < 4; ++four) {
      const __m256i half = sums[row][four / 2];
      const __m128i total = four % 2 ? _mm256_extracti128_si256(half, 1) : _mm256_castsi256_si128(half);
      store_scaled(out + row * outs + 4 * four, total, _mm_loadu_ps(scales + 4 * four), factor);
    }
  }
}
#endif
void products_i8(const std::int8_t* w, const float* scales, const std::int16_t* x, const float* x_scales, float* out, std::int64_t outs, std::int64_t n, std::int64_t count) {
  std::int64_t done = 0;
#if UIO_LANES >= 8
  constexpr std::int64_t kPanel = 16, kFewest = 3;  // for fewer the panel takes longer than it saves
  if (count >= kFewest && n <= kShortRow && n % 16 == 0) {
    __m256i panel[kShortRow];  // n / 2 pairs of 16 rows
    for (; done + kPanel <= outs; done += kPanel) {
      pair_rows(w + done * n, n, panel, 2);
      pair_rows(w + (done + 8) * n, n, panel + 1, 2);
      std::int64_t row = 0;
      for (; row + 4 <= count; row += 4) panel_products<4>(panel, scales + done, x + row * n, x_scales + row, out + row * outs + done, outs, n);
      for (; row < count; ++row) panel_products<1>(panel, scales + done, x + row * n, x_scales + row, out + row * outs + done, outs, n);
    }
  }
#endif
  for (std::int64_t row = 0; done < outs && row < count; ++row)
    matvec_i8(w + done * n, scales + done, x + row * n, x_scales[row], out + row * outs + done, outs - done, n);
}

}  // namespace
}  // namespace uio::kernels
