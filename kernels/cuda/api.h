// What the CUDA plugin computes for the core: a table of functions over raw device memory. Torch-free, and C++17: nvcc reads it
// too.
#pragma once

#include <cstdint>

namespace uio::kernels {

enum class Number : int { kF32, kBf16 };  // bf16 travels as its 16 bits; all arithmetic is f32

// Every array lies in the memory of the current device, by rows and dense unless strides say otherwise; `n` is a row's length.
// What is optional may be null. No two arrays overlap unless it is said that they may.

// out = s · x · weight with s = 1 / sqrt(mean(x²) + epsilon), row by row. Where `added` is there: of x + added, which goes to
// `sum`.
struct RmsNormJob {
  const float* x;     // [rows, n]
  const void* added;  // [rows, n], optional
  Number added_type;
  float* sum;           // [rows, n], where added is
  const float* weight;  // [n]
  void* out;            // [rows, n]
  Number out_type;
  float* scales;  // [rows]: each row's s, optional
  std::int64_t rows, n;
  double epsilon;
};

// With g = slope · weight: x_slope = s·g − x·s³/n·Σ g·x (+ sum_slope). Row p of `parts`: Σ slope · s · x over rows [p, p + 1) ·
// part_rows.
struct RmsNormSlopeJob {
  const float *x, *weight, *slope, *scales;  // as above
  const float* sum_slope;                    // [rows, n], optional
  float* x_slope;                            // [rows, n]
  float* parts;                              // [ceil(rows / part_rows), n], optional
  std::int64_t rows, n, part_rows;
};

// out = silu(gate) · up of `count` numbers; out may be gate.
struct SwigluJob {
  const void *gate, *up;
  void* out;
  std::int64_t count;
  Number type;
};
struct SwigluSlopeJob {
  const void *gate, *up, *slope;
  void *gate_slope, *up_slope;
  std::int64_t count;
  Number type;
};

// Of rows [batch, heads, count, 2·half], each dense: out[j] = x[j]·c[j] − x[j+half]·s[j], out[j+half] = x[j+half]·c[j] +
// x[j]·s[j].
struct RotaryJob {
  const void* x;
  void* out;
  const float *cosine, *sine;  // [count, half]
  std::int64_t batch, heads, count, half;
  std::int64_t from_strides[3], to_strides[3];  // of batch, heads, count, in numbers
  Number type;
};

// Attention over several parts of the keys, each with its own softmax, becomes that over all: with L = log Σ exp(lse),
// out = Σ exp(lse − L) · partial.
constexpr int kMostPartials = 8;
struct MergeJob {
  const void* partials[kMostPartials];     // [batch, heads, rows, n] each
  std::int64_t strides[kMostPartials][3];  // of batch, heads, rows, in numbers
  const float* lses[kMostPartials];        // [batch, heads, rows] each: natural logarithms
  std::int64_t lse_strides[kMostPartials][3];
  int count;
  std::int64_t batch, heads, rows, n;
  void* out;    // [batch, rows, heads, n]
  Number type;  // of partials and out
};

// values = log softmax(logits)[target] row by row. Where `weights` is there, each row of logits becomes weight · (softmax − one
// at target).
struct LossRowsJob {
  float* logits;                // [rows, n], finite
  const std::int64_t* targets;  // [rows], in [0, n)
  const float* weights;         // [rows], optional
  float* values;                // [rows]
  std::int64_t rows, n;
};

// y[r, o] = scales[o] · Σ_i w[o, i] · x[r, i] of few rows; the sums in f32.
constexpr int kMostInt8Rows = 8;
struct Int8ProductJob {
  const std::int8_t* weight;  // [outs, n]
  const float* scales;        // [outs]
  const void* x;              // [rows, n], rows <= kMostInt8Rows
  void* y;                    // [rows, outs]
  Number type;                // of x and y
  std::int64_t rows, outs, n;
};

// Of each run of kItemsOfRun items of a line, or what is left of it: the scale and the whole numbers with the smallest sum of squared differences, of equal ones those
// with the smallest scale; tried are the allowed ones from least_share · largest item / greatest to 2 · largest item / greatest, at least up to `floor`, at most
// `most_tried`.
constexpr int kItemsOfRun = 32;
struct NearestRunsJob {
  const void* items;  // [matrices, rows, columns]
  Number type;
  std::int64_t matrices, rows, columns;
  bool is_down;          // lines are columns; otherwise rows
  const double* scales;  // [count], ascending
  int count;
  double floor;
  int greatest;
  double least_share;
  int most_tried;
  std::int8_t* numbers;  // [matrices, rows, columns]
  std::int16_t* chosen;  // [matrices, lines, runs of a line]: the scale's index, -1 where all numbers are 0
};

// Each returns 0 once the work is queued, or a cudaError_t. Work goes to the legacy default stream of the current device, which
// is LibTorch's current stream as long as nobody asks LibTorch for another; uio does not.
struct CudaKernels {
  int version;
  int (*rms_norm)(const RmsNormJob&);
  int (*rms_norm_slope)(const RmsNormSlopeJob&);
  int (*swiglu)(const SwigluJob&);
  int (*swiglu_slope)(const SwigluSlopeJob&);
  int (*rotary)(const RotaryJob&);
  int (*merge)(const MergeJob&);
  int (*loss_rows)(const LossRowsJob&);
  int (*int8_product)(const Int8ProductJob&);
  int (*nearest_runs)(const NearestRunsJob&);
};
constexpr int kCudaKernelsVersion = 2;

}  // namespace uio::kernels

// A symbol of the plugin.
extern "C" const uio::kernels::CudaKernels* uio_cuda_kernels();
