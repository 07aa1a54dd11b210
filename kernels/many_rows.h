// Products of many rows with weights as they are kept, in f32: bound by arithmetic.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "kernels/few_rows.h"

namespace uio::kernels {

// Whether products of this CPU go this way: where there are tiles() for it. Elsewhere BLAS does them.
bool has_many_rows();
// Whether many_rows_each() computes x [R, in] there: f32, contiguous.
bool fits_many_rows(const at::Tensor& x);

// x times each weight, of any of RowWeight's dtypes: [R, out_i] f32. A number is the sum of products in the order of `in`, rounded once each, in runs of 256:
// no bit depends on how many rows, weights or threads there are.
std::vector<at::Tensor> many_rows_each(const at::Tensor& x, std::span<const RowWeight> weights);

// x [R, in] f32 or bf16 times each weight, of one dtype, by the row kernels: few_rows_each() or many_rows_each(). Empty where BLAS has to do it. No bit depends on
// how many threads there are.
std::vector<at::Tensor> rows_each(const at::Tensor& x, std::span<const RowWeight> weights);

}  // namespace uio::kernels
