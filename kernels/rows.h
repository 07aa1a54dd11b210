// Kernels over single rows, one build per instruction set, chosen when the program starts. Torch-free.
#pragma once

#include <cstdint>

namespace uio::kernels {

// What products of many rows are made of (many_rows.h).
constexpr std::int64_t kTileRows = 6, kTileColumns = 16;
struct Tiles {
  // `count` rows, at most kTileRows, `stride` numbers apart, of n numbers: out[i · count + r] = rows[r · stride + i].
  void (*pack_rows)(const float* rows, std::int64_t stride, std::int64_t count, float* out, std::int64_t n);
  // The same of kTileColumns rows: out[i · kTileColumns + r]. Where there are fewer the last one stands for the missing.
  void (*pack_columns)(const float* rows, std::int64_t stride, std::int64_t count, float* out, std::int64_t n);
  // out[r · stride + c] = Σ_i x[i · rows + r] · w[i · kTileColumns + c], added to what is there or not, for all `rows` r and kTileColumns c.
  void (*tile)(const float* x, std::int64_t rows, const float* w, std::int64_t n, float* out, std::int64_t stride, bool adds);
};

// bf16 and f16 values travel as their 16 bits. All arithmetic is f32; narrowing rounds to nearest, ties to even.
struct RowKernels {
  const char* instruction_set;
  // out = x · s · weight; both return s = 1 / sqrt(mean(x²) + epsilon), which the gradient needs.
  float (*rms_norm_f32)(const float* x, const float* weight, float* out, std::int64_t n, double epsilon);
  float (*rms_norm_bf16)(const float* x, const float* weight, std::uint16_t* out, std::int64_t n, double epsilon);
  // Of a row's gradient `slope`, with the row's own s: that of x, and added to weight_slope (where not null) that of the weight.
  void (*rms_norm_backward)(const float* x, const float* weight, const float* slope, float s, float* x_slope, float* weight_slope,
                            std::int64_t n);
  // out = x + y; out may be x or y.
  void (*add_f32)(const float* x, const float* y, float* out, std::int64_t n);
  void (*add_bf16)(const float* x, const std::uint16_t* y, float* out, std::int64_t n);
  // out = silu(gate) · up; out may be gate.
  void (*swiglu_f32)(const float* gate, const float* up, float* out, std::int64_t n);
  void (*swiglu_bf16)(const std::uint16_t* gate, const std::uint16_t* up, std::uint16_t* out, std::int64_t n);
  void (*swiglu_backward)(const float* gate, const float* up, const float* slope, float* gate_slope, float* up_slope, std::int64_t n);
  // out[j] = x[j]·c[j] − x[j+half]·s[j]; out[j+half] = x[j+half]·c[j] + x[j]·s[j]
  void (*rotary_f32)(const float* x, const float* c, const float* s, float* out, std::int64_t half);
  void (*rotary_bf16)(const std::uint16_t* x, const float* c, const float* s, std::uint16_t* out, std::int64_t half);
  void (*widen_bf16)(const std::uint16_t* x, float* out, std::int64_t n);
  void (*round_bf16)(float* x, std::int64_t n);  // in place, to the nearest numbers that bf16 has
  void (*widen_f16)(const std::uint16_t* x, float* out, std::int64_t n);
  // out[o] = Σ_i w[o, i]·x[i] for o in [0, outs): weights [outs, n] read once.
  void (*matvec_f32)(const float* w, const float* x, float* out, std::int64_t outs, std::int64_t n);
  // For bf16 weights x comes in the order of `pair_up`: two weights are widened by one shift and one mask, without a shuffle.
  void (*matvec_bf16)(const std::uint16_t* w, const float* paired_x, float* out, std::int64_t outs, std::int64_t n);
  // Within each block of 2·lanes values those at even places first, then those at odd ones; what is left over stays in order.
  void (*pair_up)(const float* x, float* out, std::int64_t n);
  void (*matvec_f16)(const std::uint16_t* w, const float* x, float* out, std::int64_t outs, std::int64_t n);
  // One row of weights as whole numbers: x ≈ s · out with |out| <= 127, s = the largest |x| / 127 returned. NaN for a row that is not finite.
  float (*round_i8)(const float* x, std::int8_t* out, std::int64_t n);
  // The same for activations, |out| <= 4095: as fine as f16 at the largest, and thousands of products fit 32 bits.
  float (*round_i16)(const float* x, std::int16_t* out, std::int64_t n);
  // out[o] = scales[o] · x_scale · Σ_i w[o, i]·x[i], the sum exact, |x| <= 4095: the same bits with every instruction set.
  void (*matvec_i8)(const std::int8_t* w, const float* scales, const std::int16_t* x, float x_scale, float* out, std::int64_t outs, std::int64_t n);
  // The same of `count` rows x [count, n] with a scale each: out [count, outs], the bits of matvec_i8. Short weights are laid out once for all x.
  void (*products_i8)(const std::int8_t* w, const float* scales, const std::int16_t* x, const float* x_scales, float* out, std::int64_t outs, std::int64_t n, std::int64_t count);
  // matvec_i8 of the `count` rows of w that `rows` names.
  void (*matvec_named_i8)(const std::int8_t* w, const float* scales, const std::int32_t* rows, const std::int16_t* x, float x_scale, float* out, std::int64_t count, std::int64_t n);
  void (*widen_i8)(const std::int8_t* x, float scale, float* out, std::int64_t n);  // out = scale · x
  // x stays where `sees` is 1 and becomes −inf where it is 0.
  void (*hide)(const std::uint8_t* sees, float* x, std::int64_t n);
  float (*row_max)(const float* x, std::int64_t n);  // -inf for no values
  // Writes the places of all x above `threshold`, in order, to `places`, which has room for n; returns how many. NaN is above nothing.
  std::int64_t (*above)(const float* x, std::int64_t n, float threshold, std::int32_t* places);
  // The number-th greatest of x, from 1 on, of which none is NaN; 0 may come for −0.
  float (*greatest)(const float* x, std::int64_t n, std::int64_t number);
  // x = exp(x − shift), exactly 0 for −inf; returns their sum.
  float (*exp_shifted)(float* x, std::int64_t n, float shift);
  void (*scale)(float* x, std::int64_t n, float factor);
  // log Σ exp(x): the normaliser of one row of logits.
  float (*log_sum_exp)(const float* x, std::int64_t n);
  // One row of finite logits becomes the gradient of weight · −log softmax(logits)[target]: weight · (softmax − one at target).
  // Returns log softmax(logits)[target], by the same arithmetic as log_sum_exp.
  float (*softmax_slope)(float* logits, std::int64_t n, std::int64_t target, float weight);
  // KL(softmax(teacher) ‖ softmax(logits)) of two rows of finite logits; logits become the gradient of weight times it,
  // weight · (softmax(logits) − softmax(teacher)). teacher is overwritten.
  double (*divergence_slope)(float* logits, float* teacher, std::int64_t n, float weight);
  // A row of attention scores becomes weights p = exp(scores − lse), and the row `slopes` of gradients of the weights becomes that of
  // the scores, p · (slopes − mean); mean = Σ p · slopes over all keys.
  void (*attention_slope)(float* scores, float* slopes, std::int64_t n, float lse, float mean);
  float (*dot)(const float* x, const float* y, std::int64_t n);
  // out += Σ_i weights[i] · rows[i, :] of `count` rows that lie one behind the other, n numbers each.
  void (*add_weighted)(const float* rows, const float* weights, float* out, std::int64_t count, std::int64_t n);
  const Tiles* tiles;  // null: this build has none
};

const RowKernels& row_kernels();
// What products of many rows are made of here: with AVX2 our own tiles; null where BLAS has better ones, with AVX-512 but on AMD's CPUs, for which MKL has none.
const Tiles* tiles();
// The builds themselves; avx2 and avx512 are null where the compiler's target has none.
const RowKernels& generic_row_kernels();
const RowKernels* avx2_row_kernels();
const RowKernels* avx512_row_kernels();

}  // namespace uio::kernels
