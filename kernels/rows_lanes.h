// Vectors of the row kernels, in GCC's vector extension: the including file sets UIO_LANES (f32 lanes of a vector) and the compiler's -m flags. Everything stays
// in an unnamed namespace and nothing of the standard library is instantiated here: a template emitted with wide instructions could otherwise be picked by the
// linker for every CPU.
#pragma once

#include <immintrin.h>

#include "kernels/rows.h"

namespace uio::kernels {
namespace {

constexpr int kLanes = UIO_LANES;
typedef float Floats __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef std::int32_t Ints __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef std::uint32_t Words __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef std::uint8_t Bytes __attribute__((vector_size(kLanes), aligned(1), may_alias));
typedef std::uint16_t Halves __attribute__((vector_size(kLanes * 2), aligned(2), may_alias));

inline Floats load(const float* from) { return *reinterpret_cast<const Floats*>(from); }
inline void store(float* to, Floats value) { *reinterpret_cast<Floats*>(to) = value; }
inline Floats all(float value) { return Floats{} + value; }

inline Floats load_bf16(const std::uint16_t* from) {
  const Words wide = __builtin_convertvector(*reinterpret_cast<const Halves*>(from), Words) << 16;
  return (Floats)wide;
}
inline void store_bf16(std::uint16_t* to, Floats value) {
  const Words bits = (Words)value;
  const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Words nan = (Words)(value != value);  // all ones where NaN: rounding could carry it into infinity
  *reinterpret_cast<Halves*>(to) = __builtin_convertvector((nan & ((bits >> 16) | 0x40)) | (~nan & rounded), Halves);
}
inline float widen_bf16_one(std::uint16_t x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x) << 16;
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}
inline std::uint16_t narrow_bf16_one(float x) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  if (x != x) return static_cast<std::uint16_t>((bits >> 16) | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
inline float widen_f16_one(std::uint16_t x) {
  const std::uint32_t sign = static_cast<std::uint32_t>(x & 0x8000) << 16, exponent = (x >> 10) & 31, fraction = x & 1023;
  std::uint32_t bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000 | fraction << 13;
  } else if (exponent != 0) {
    bits = sign | (exponent + 112) << 23 | fraction << 13;
  } else {  // subnormal: fraction · 2^-24, exact in f32
    const float value = static_cast<float>(fraction) * 5.9604644775390625e-8f;
    __builtin_memcpy(&bits, &value, 4);
    bits |= sign;
  }
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}
inline Floats load_f16(const std::uint16_t* from) {
#if UIO_LANES == 16
  return (Floats)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#elif UIO_LANES == 8
  return (Floats)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#else
  Floats value;
  for (int lane = 0; lane < kLanes; ++lane) value[lane] = widen_f16_one(from[lane]);
  return value;
#endif
}

inline float sum(Floats value) {
  float total = 0;
  for (int lane = 0; lane < kLanes; ++lane) total += value[lane];
  return total;
}

}  // namespace
}  // namespace uio::kernels
