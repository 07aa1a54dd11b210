// Rotary position embedding: frequencies of every scaling that transformers knows by name, and tables of angles.
// Rotation pairs component j with j + d/2 (the half-split layout of Hugging Face checkpoints).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "kernels/rotary.h"
#include "model/config.h"

namespace uio {

struct RopeFrequencies {
  std::vector<double> inverse;  // [d/2] radians per position
  double scale = 1;             // factor on cosine and sine (YaRN's attention factor)
};

// `length`: positions in use; only dynamic scaling looks at it. RoPE: arXiv 2104.09864; linear: 2306.15595; dynamic NTK and
// YaRN: 2309.00071; llama3: the smoothing of Llama 3.1 as in transformers 4.57. Verified against it.
RopeFrequencies rope_frequencies(const RopeConfig& rope, std::int64_t head_size, std::int64_t positions, std::int64_t length);

// Cosines and sines of positions, made as they are asked for.
class RopeTable {
 public:
  // Positions 0 … length-1 may be asked for. `dtype` f64: angles in double. Otherwise angles are rounded to f32 as transformers
  // does (the models were trained so), tables are f32.
  RopeTable(const ModelConfig& config, std::int64_t length, at::ScalarType dtype, at::Device device);

  // x [..., T, d] with heads before tokens or any leading shape; positions `first` … first+T-1. Returns a new tensor of x's dtype.
  at::Tensor rotate(const at::Tensor& x, std::int64_t first) const;
  // Explicit positions [T] (int64).
  at::Tensor rotate(const at::Tensor& x, const at::Tensor& positions) const;
  // The angles of one position, until the next call of this object; only of f32 tables on the CPU.
  kernels::Angles angles(std::int64_t position) const;
  std::int64_t length() const { return length_; }

 private:
  void make(std::int64_t count) const;

  RopeFrequencies frequencies_;
  std::int64_t length_;
  at::ScalarType dtype_;  // of the tables
  at::Device device_;
  mutable at::Tensor cosine_, sine_;  // [made so far, d/2]
};

}  // namespace uio
