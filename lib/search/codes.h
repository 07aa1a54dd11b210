// What indexes share that know keys by codes: bytes times a scale a key, and approximate scores of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "kernels/far_search.h"

namespace uio {

// Rows [count, size] as whole numbers of 13 bits times a scale each: codes are multiplied by them as they are. The scale is NaN for a row that is not finite.
struct WholeRows {
  WholeRows() = default;
  WholeRows(const float* rows, std::int64_t count, std::int64_t size);
  std::vector<std::int16_t> numbers;
  std::vector<float> scales;
};

// How many candidates are scored again by the keys themselves where `count` are wanted: codes put some of the best behind others.
constexpr std::int64_t candidates_for(std::int64_t count) { return count + count / 4 + 16; }

// The best `count` of the candidates [1, H, T, any], keys of an index or −1, whose first key is row `begin`.
kernels::Found score_again(const at::Tensor& queries, std::int64_t groups, const kernels::FarRows& rows, const at::Tensor& candidates, std::int64_t begin, std::int64_t count);

}  // namespace uio
