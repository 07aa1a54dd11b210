// The row kernels, compiled once per instruction set: the including file sets UIO_LANES and UIO_ROWS_NAME, see rows_lanes.h.
#include "kernels/rows_lanes.h"
#include "kernels/rows_tiles.h"
#include "kernels/rows_whole.h"

namespace uio::kernels {
namespace {

// e^x to 2 ulp: x = n·ln 2 + r, |r| ≤ ln 2 / 2, a polynomial in r, then n into the exponent.
inline Floats exp_of(Floats given) {
  const Floats low = all(-87.3f), high = all(88.7f);
  Floats x = given < low ? low : given;
  x = x > high ? high : x;
  const Floats magic = all(12582912.0f);  // 1.5 · 2^23: adding it rounds to an integer
  const Floats n = (x * 1.44269504f + magic) - magic;
  const Floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Floats p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Ints exponent = (__builtin_convertvector(n, Ints) + 127) << 23;
  // Below the smallest normal number the result is 0: what is masked by −inf must weigh nothing.
  return given < low ? Floats{} : p * (Floats)exponent;
}
inline float exp_one(float x) { return exp_of(all(x))[0]; }
inline Floats silu(Floats x) { return x / (1.0f + exp_of(-x)); }

inline float inverse_rms(const float* x, std::int64_t n, double epsilon) {
  Floats a = {}, b = {};
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const Floats u = load(x + i), v = load(x + i + kLanes);
    a += u * u;
    b += v * v;
  }
  double total = static_cast<double>(sum(a + b));
  for (; i < n; ++i) total += static_cast<double>(x[i]) * x[i];
  return static_cast<float>(1.0 / __builtin_sqrt(total / static_cast<double>(n) + epsilon));
}

float rms_norm_f32(const float* x, const float* weight, float* out, std::int64_t n, double epsilon) {
  const float scale = inverse_rms(x, n, epsilon);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load(x + i) * scale * load(weight + i));
  for (; i < n; ++i) out[i] = x[i] * scale * weight[i];
  return scale;
}

float rms_norm_bf16(const float* x, const float* weight, std::uint16_t* out, std::int64_t n, double epsilon) {
  const float scale = inverse_rms(x, n, epsilon);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_bf16(out + i, load(x + i) * scale * load(weight + i));
  for (; i < n; ++i) out[i] = narrow_bf16_one(x[i] * scale * weight[i]);
  return scale;
}

// With g = slope · weight: dx = s·g − x·s³/n·Σ g·x, and dweight = slope · x · s.
void rms_norm_backward(const float* x, const float* weight, const float* slope, float s, float* x_slope, float* weight_slope, std::int64_t n) {
  Floats a = {}, b = {};
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    a += load(slope + i) * load(weight + i) * load(x + i);
    b += load(slope + i + kLanes) * load(weight + i + kLanes) * load(x + i + kLanes);
  }
  double total = static_cast<double>(sum(a + b));
  for (; i < n; ++i) total += static_cast<double>(slope[i]) * weight[i] * x[i];
  const double wide = static_cast<double>(s);
  const float pull = static_cast<float>(wide * wide * wide * total / static_cast<double>(n));
  for (i = 0; i + kLanes <= n; i += kLanes) {
    const Floats here = load(x + i), g = load(slope + i);
    store(x_slope + i, g * load(weight + i) * s - here * pull);
    if (weight_slope) store(weight_slope + i, load(weight_slope + i) + g * here * s);
  }
  for (; i < n; ++i) {
    x_slope[i] = slope[i] * weight[i] * s - x[i] * pull;
    if (weight_slope) weight_slope[i] += slope[i] * x[i] * s;
  }
}

void add_f32(const float* x, const float* y, float* out, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load(x + i) + load(y + i));
  for (; i < n; ++i) out[i] = x[i] + y[i];
}
void add_bf16(const float* x, const std::uint16_t* y, float* out, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load(x + i) + load_bf16(y + i));
  for (; i < n; ++i) out[i] = x[i] + widen_bf16_one(y[i]);
}

void swiglu_f32(const float* gate, const float* up, float* out, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, silu(load(gate + i)) * load(up + i));
  for (; i < n; ++i) out[i] = gate[i] / (1.0f + exp_one(-gate[i])) * up[i];
}

void swiglu_bf16(const std::uint16_t* gate, const std::uint16_t* up, std::uint16_t* out, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_bf16(out + i, silu(load_bf16(gate + i)) * load_bf16(up + i));
  for (; i < n; ++i) {
    const float x = widen_bf16_one(gate[i]);
    out[i] = narrow_bf16_one(x / (1.0f + exp_one(-x)) * widen_bf16_one(up[i]));
  }
}

// With σ = 1 / (1 + e^−gate): silu' = σ · (1 + gate · (1 − σ)), where 1 − σ = e^−gate · σ loses nothing to a difference.
// e^−gate is held below infinity, which times a σ of 0 would be NaN.
void swiglu_backward(const float* gate, const float* up, const float* slope, float* gate_slope, float* up_slope, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Floats x = load(gate + i), back = -x, e = exp_of(back < all(80) ? back : all(80)), share = 1.0f / (1.0f + e), gated = load(slope + i) * share;
    store(up_slope + i, gated * x);
    store(gate_slope + i, gated * load(up + i) * (1.0f + x * (e * share)));
  }
  for (; i < n; ++i) {
    const float e = exp_one(-gate[i] < 80 ? -gate[i] : 80), share = 1.0f / (1.0f + e), gated = slope[i] * share;
    up_slope[i] = gated * gate[i];
    gate_slope[i] = gated * up[i] * (1.0f + gate[i] * (e * share));
  }
}

void rotary_f32(const float* x, const float* c, const float* s, float* out, std::int64_t half) {
  std::int64_t j = 0;
  for (; j + kLanes <= half; j += kLanes) {
    const Floats a = load(x + j), b = load(x + half + j), cosine = load(c + j), sine = load(s + j);
    store(out + j, a * cosine - b * sine);
    store(out + half + j, b * cosine + a * sine);
  }
  for (; j < half; ++j) {
    const float a = x[j], b = x[half + j];
    out[j] = a * c[j] - b * s[j];
    out[half + j] = b * c[j] + a * s[j];
  }
}

void rotary_bf16(const std::uint16_t* x, const float* c, const float* s, std::uint16_t* out, std::int64_t half) {
  std::int64_t j = 0;
  for (; j + kLanes <= half; j += kLanes) {
    const Floats a = load_bf16(x + j), b = load_bf16(x + half + j), cosine = load(c + j), sine = load(s + j);
    store_bf16(out + j, a * cosine - b * sine);
    store_bf16(out + half + j, b * cosine + a * sine);
  }
  for (; j < half; ++j) {
    const float a = widen_bf16_one(x[j]), b = widen_bf16_one(x[half + j]);
    out[j] = narrow_bf16_one(a * c[j] - b * s[j]);
    out[half + j] = narrow_bf16_one(b * c[j] + a * s[j]);
  }
}

void widen_bf16(const std::uint16_t* x, float* out, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load_bf16(x + i));
  for (; i < n; ++i) out[i] = widen_bf16_one(x[i]);
}

void round_bf16(float* x, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Floats value = load(x + i);
    const Words bits = (Words)value, rounded = bits + 0x7fff + ((bits >> 16) & 1), nan = (Words)(value != value);
    store(x + i, (Floats)(((nan & (bits | 0x400000)) | (~nan & rounded)) & 0xffff0000u));
  }
  for (; i < n; ++i) x[i] = widen_bf16_one(narrow_bf16_one(x[i]));
}

void widen_f16(const std::uint16_t* x, float* out, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load_f16(x + i));
  for (; i < n; ++i) out[i] = widen_f16_one(x[i]);
}

// Four accumulators hide the latency of the adds; a row of weights is read once, in order, and prefetched by the hardware.
template <typename Weight, Floats (*Load)(const Weight*), float (*One)(Weight)>
inline void matvec(const Weight* w, const float* x, float* out, std::int64_t outs, std::int64_t n) {
  for (std::int64_t o = 0; o < outs; ++o, w += n) {
    Floats a = {}, b = {}, c = {}, d = {};
    std::int64_t i = 0;
    for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
      a += Load(w + i) * load(x + i);
      b += Load(w + i + kLanes) * load(x + i + kLanes);
      c += Load(w + i + 2 * kLanes) * load(x + i + 2 * kLanes);
      d += Load(w + i + 3 * kLanes) * load(x + i + 3 * kLanes);
    }
    for (; i + kLanes <= n; i += kLanes) a += Load(w + i) * load(x + i);
    float total = sum((a + b) + (c + d));
    for (; i < n; ++i) total += One(w[i]) * x[i];
    out[o] = total;
  }
}
inline float same(float x) { return x; }

#if UIO_LANES >= 8
inline __m256 eight_lanes(Floats value) {
#if UIO_LANES == 16
  return _mm256_add_ps(_mm512_castps512_ps256((__m512)value), _mm512_extractf32x8_ps((__m512)value, 1));
#else
  return (__m256)value;
#endif
}
// Eight short rows at once: adding up the lanes of one alone takes longer than its products. The last eight are what there is and some of it again, so that
// a row's sum does not depend on where it stands.
inline void matvec_short(const float* w, const float* x, float* out, std::int64_t outs, std::int64_t n) {
  for (std::int64_t o = 0; o < outs; o += 8) {
    const float* rows[8];
    for (std::int64_t r = 0; r < 8; ++r) rows[r] = w + (o + r < outs ? o + r : outs - 1) * n;
    Floats sums[8];
    for (int r = 0; r < 8; ++r) {  // in the order in which they lie, and the next eight asked for
      Floats here = {};
      for (std::int64_t i = 0; i < n; i += kLanes) {
        __builtin_prefetch(rows[r] + i + 8 * n);
        here += load(rows[r] + i) * load(x + i);
      }
      sums[r] = here;
    }
    __m256 s[8];
    for (int r = 0; r < 8; ++r) s[r] = eight_lanes(sums[r]);
    const __m256 a = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3])), b = _mm256_hadd_ps(_mm256_hadd_ps(s[4], s[5]), _mm256_hadd_ps(s[6], s[7]));
    const __m256 totals = _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
    if (o + 8 <= outs) _mm256_storeu_ps(out + o, totals);
    else
      for (std::int64_t r = 0; o + r < outs; ++r) out[o + r] = totals[r];
  }
}
#endif
void matvec_f32(const float* w, const float* x, float* out, std::int64_t outs, std::int64_t n) {
#if UIO_LANES >= 8
  constexpr std::int64_t kShort = 128;
  if (n <= kShort && n % kLanes == 0) return matvec_short(w, x, out, outs, n);
#endif
  matvec<float, load, same>(w, x, out, outs, n);
}
void pair_up(const float* x, float* out, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const Floats low = load(x + i), high = load(x + i + kLanes);
    Ints even, odd;
    for (int lane = 0; lane < kLanes; ++lane) even[lane] = 2 * lane, odd[lane] = 2 * lane + 1;
    store(out + i, __builtin_shuffle(low, high, even));
    store(out + i + kLanes, __builtin_shuffle(low, high, odd));
  }
  for (; i < n; ++i) out[i] = x[i];
}

void matvec_bf16(const std::uint16_t* w, const float* x, float* out, std::int64_t outs, std::int64_t n) {
  for (std::int64_t o = 0; o < outs; ++o, w += n) {
    Floats a = {}, b = {}, c = {}, d = {};
    std::int64_t i = 0;
    const auto pairs = [&](std::int64_t at, Floats& even, Floats& odd) {
      const Words two = *reinterpret_cast<const Words*>(w + at);
      even += (Floats)(two << 16) * load(x + at);
      odd += (Floats)(two & 0xffff0000u) * load(x + at + kLanes);
    };
    for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
      // What is needed some 100 ns later: with more to do per byte than for f32 the processor sees less far ahead.
      for (int line = 0; line < 4 * kLanes; line += 32) __builtin_prefetch(w + i + 512 + line);
      pairs(i, a, b);
      pairs(i + 2 * kLanes, c, d);
    }
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) pairs(i, a, b);
    float total = sum((a + b) + (c + d));
    for (; i < n; ++i) total += widen_bf16_one(w[i]) * x[i];
    out[o] = total;
  }
}

void matvec_f16(const std::uint16_t* w, const float* x, float* out, std::int64_t outs, std::int64_t n) {
  matvec<std::uint16_t, load_f16, widen_f16_one>(w, x, out, outs, n);
}

void hide(const std::uint8_t* sees, float* x, std::int64_t n) {
  const float nothing = -__builtin_inff();
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Ints seen = __builtin_convertvector(*reinterpret_cast<const Bytes*>(sees + i), Ints);
    store(x + i, seen != 0 ? load(x + i) : all(nothing));
  }
  for (; i < n; ++i) x[i] = sees[i] ? x[i] : nothing;
}

float row_max(const float* x, std::int64_t n) {
  float highest = -__builtin_inff();
  Floats most = all(highest);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Floats v = load(x + i);
    most = v > most ? v : most;
  }
  for (int lane = 0; lane < kLanes; ++lane) highest = most[lane] > highest ? most[lane] : highest;
  for (; i < n; ++i) highest = x[i] > highest ? x[i] : highest;
  return highest;
}

// A bit for each lane that is not 0.
inline unsigned bits_of(Ints lanes) {
#if UIO_LANES == 16
  return static_cast<unsigned>(_mm512_movepi32_mask((__m512i)lanes));
#elif UIO_LANES == 8
  return static_cast<unsigned>(_mm256_movemask_ps((__m256)lanes));
#else
  return static_cast<unsigned>(_mm_movemask_ps((__m128)lanes));
#endif
}
std::int64_t above(const float* x, std::int64_t n, float threshold, std::int32_t* places) {
  std::int64_t found = 0, i = 0;
  const Floats most = all(threshold);
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    const Ints hits[4] = {load(x + i) > most, load(x + i + kLanes) > most, load(x + i + 2 * kLanes) > most, load(x + i + 3 * kLanes) > most};
    if (bits_of((hits[0] | hits[1]) | (hits[2] | hits[3])) == 0) continue;
    for (int part = 0; part < 4; ++part)
      for (unsigned bits = bits_of(hits[part]); bits != 0; bits &= bits - 1) places[found++] = static_cast<std::int32_t>(i) + part * kLanes + __builtin_ctz(bits);
  }
  for (; i < n; ++i) {
    places[found] = static_cast<std::int32_t>(i);
    found += x[i] > threshold;
  }
  return found;
}

// Bits of a float as a whole number in the order of floats, and back.
inline std::int64_t order_of(float x) {
  std::int32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  return bits < 0 ? -static_cast<std::int64_t>(bits & 0x7fffffff) : bits;
}
inline float of_order(std::int64_t order) {
  const std::uint32_t bits = order < 0 ? 0x80000000u | static_cast<std::uint32_t>(-order) : static_cast<std::uint32_t>(order);
  float x;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}
inline std::int64_t count_from(const float* x, std::int64_t n, float least) {
  Ints found = {};
  const Floats from = all(least);
  std::int64_t i = 0, total = 0;
  for (; i + kLanes <= n; i += kLanes) found -= load(x + i) >= from;
  for (int lane = 0; lane < kLanes; ++lane) total += found[lane];
  for (; i < n; ++i) total += x[i] >= least;
  return total;
}
// Of the values that are there `low` is one that enough others reach, `high` one beyond the reach of enough: half of what is in between goes with each look.
float greatest(const float* x, std::int64_t n, std::int64_t number) {
  float least = x[0], most = x[0];
  for (std::int64_t i = 1; i < n; ++i) {
    least = x[i] < least ? x[i] : least;
    most = x[i] > most ? x[i] : most;
  }
  std::int64_t low = order_of(least), high = order_of(most) + 1;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (count_from(x, n, of_order(middle)) >= number ? low : high) = middle;
  }
  return of_order(low);
}

float exp_shifted(float* x, std::int64_t n, float shift) {
  Floats total = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Floats e = exp_of(load(x + i) - shift);
    store(x + i, e);
    total += e;
  }
  float rest = sum(total);
  for (; i < n; ++i) rest += x[i] = exp_one(x[i] - shift);
  return rest;
}

void scale(float* x, std::int64_t n, float factor) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(x + i, load(x + i) * factor);
  for (; i < n; ++i) x[i] *= factor;
}

float log_sum_exp(const float* x, std::int64_t n) {
  const float highest = row_max(x, n);
  std::int64_t i = 0;
  if (!(highest > -__builtin_inff()) || highest == __builtin_inff()) {  // nothing finite, or an infinity that outweighs all; NaN stays NaN
    float answer = highest;
    for (i = 0; i < n; ++i) answer = x[i] != x[i] ? x[i] : answer;
    return answer;
  }
  // Blocks of f32 sums gathered in double: 32000 and more terms, none lost.
  double total = 0;
  for (i = 0; i + kLanes <= n;) {
    Floats block = {};
    for (const std::int64_t end = i + 64 * kLanes; i + kLanes <= n && i < end; i += kLanes) block += exp_of(load(x + i) - highest);
    total += static_cast<double>(sum(block));
  }
  for (; i < n; ++i) total += static_cast<double>(exp_one(x[i] - highest));
  return highest + static_cast<float>(__builtin_log(total));
}

float softmax_slope(float* logits, std::int64_t n, std::int64_t target, float weight) {
  const float highest = row_max(logits, n), chosen = logits[target];
  double total = 0;  // gathered as in log_sum_exp: its bits
  std::int64_t i = 0;
  while (i + kLanes <= n) {
    Floats block = {};
    for (const std::int64_t end = i + 64 * kLanes; i + kLanes <= n && i < end; i += kLanes) {
      const Floats e = exp_of(load(logits + i) - highest);
      store(logits + i, e);
      block += e;
    }
    total += static_cast<double>(sum(block));
  }
  for (; i < n; ++i) total += static_cast<double>(logits[i] = exp_one(logits[i] - highest));
  scale(logits, n, static_cast<float>(static_cast<double>(weight) / total));
  logits[target] -= weight;
  return chosen - (highest + static_cast<float>(__builtin_log(total)));
}

double divergence_slope(float* logits, float* teacher, std::int64_t n, float weight) {
  const float highest = row_max(logits, n), teacher_highest = row_max(teacher, n);
  double total = 0, teacher_total = 0, apart = 0;  // apart: Σ e^teacher · (teacher − logits), both less their highest
  std::int64_t i = 0;
  while (i + kLanes <= n) {
    Floats block = {}, teacher_block = {}, apart_block = {};
    for (const std::int64_t end = i + 64 * kLanes; i + kLanes <= n && i < end; i += kLanes) {
      const Floats x = load(logits + i) - highest, t = load(teacher + i) - teacher_highest, e = exp_of(x), f = exp_of(t);
      store(logits + i, e);
      store(teacher + i, f);
      block += e;
      teacher_block += f;
      apart_block += f * (t - x);
    }
    total += static_cast<double>(sum(block));
    teacher_total += static_cast<double>(sum(teacher_block));
    apart += static_cast<double>(sum(apart_block));
  }
  for (; i < n; ++i) {
    const float x = logits[i] - highest, t = teacher[i] - teacher_highest;
    total += static_cast<double>(logits[i] = exp_one(x));
    teacher_total += static_cast<double>(teacher[i] = exp_one(t));
    apart += static_cast<double>(teacher[i] * (t - x));
  }
  const float share = static_cast<float>(static_cast<double>(weight) / total), teacher_share = static_cast<float>(static_cast<double>(weight) / teacher_total);
  for (i = 0; i + kLanes <= n; i += kLanes) store(logits + i, load(logits + i) * share - load(teacher + i) * teacher_share);
  for (; i < n; ++i) logits[i] = logits[i] * share - teacher[i] * teacher_share;
  return apart / teacher_total - __builtin_log(teacher_total) + __builtin_log(total);
}

void attention_slope(float* scores, float* slopes, std::int64_t n, float lse, float mean) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Floats p = exp_of(load(scores + i) - lse);
    store(scores + i, p);
    store(slopes + i, p * (load(slopes + i) - mean));
  }
  for (; i < n; ++i) slopes[i] = (scores[i] = exp_one(scores[i] - lse)) * (slopes[i] - mean);
}

float dot(const float* x, const float* y, std::int64_t n) {
  Floats a = {}, b = {};
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    a += load(x + i) * load(y + i);
    b += load(x + i + kLanes) * load(y + i + kLanes);
  }
  float total = sum(a + b);
  for (; i < n; ++i) total += x[i] * y[i];
  return total;
}

// kSums sums that stay in registers while the rows pass.
template <int kSums>
inline void add_weighted_part(const float* rows, const float* weights, float* out, std::int64_t count, std::int64_t n) {
  Floats sums[kSums];
  for (int part = 0; part < kSums; ++part) sums[part] = load(out + part * kLanes);
  for (std::int64_t r = 0; r < count; ++r, rows += n) {
    const Floats weight = all(weights[r]);
    for (int line = 0; line < kSums * kLanes; line += 16) __builtin_prefetch(rows + 8 * n + line);
    for (int part = 0; part < kSums; ++part) sums[part] += weight * load(rows + part * kLanes);
  }
  for (int part = 0; part < kSums; ++part) store(out + part * kLanes, sums[part]);
}
void add_weighted(const float* rows, const float* weights, float* out, std::int64_t count, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + 8 * kLanes <= n; i += 8 * kLanes) add_weighted_part<8>(rows + i, weights, out + i, count, n);
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) add_weighted_part<4>(rows + i, weights, out + i, count, n);
  for (; i + kLanes <= n; i += kLanes) {
    Floats a = load(out + i);
    for (std::int64_t r = 0; r < count; ++r) a += all(weights[r]) * load(rows + r * n + i);
    store(out + i, a);
  }
  for (; i < n; ++i)
    for (std::int64_t r = 0; r < count; ++r) out[i] += weights[r] * rows[r * n + i];
}

constexpr RowKernels kKernels = {
    UIO_ROWS_NAME,     rms_norm_f32,      rms_norm_bf16,     rms_norm_backward, add_f32,           add_bf16,          swiglu_f32,        swiglu_bf16,
    swiglu_backward,   rotary_f32,        rotary_bf16,       widen_bf16,        round_bf16,        widen_f16,         matvec_f32,        matvec_bf16,       pair_up,
    matvec_f16,        round_i8,          round_i16,         matvec_i8,         products_i8,       matvec_named_i8,   widen_i8,          hide,              row_max,
    above,             greatest,          exp_shifted,       scale,             log_sum_exp,       softmax_slope,     divergence_slope,  attention_slope,
    dot,               add_weighted,      kOwnTiles};

}  // namespace
}  // namespace uio::kernels
