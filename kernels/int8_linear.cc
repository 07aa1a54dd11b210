// Ladder: (1) reference: widen a fresh copy, at::linear. (2) few rows: one pass over the 8-bit weights with activations of 13 bits,
// products of 16-bit pairs (rows.h), bound by reading; widening each weight to f32 instead is bound by arithmetic on CPUs with 128-bit
// units. (3) many rows: widen into a scratch that is kept, then one sgemm. (4) on a CUDA device few rows go through cuda/int8_product.h,
// with activations as they are; many as in (1).
#include "kernels/int8_linear.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "kernels/device_kernels.h"
#include "kernels/few_rows.h"
#include "kernels/policy.h"
#include "kernels/rows.h"
#include "kernels/scratch.h"
#include "kernels/small_product.h"

namespace uio::kernels {
namespace {

constexpr std::int64_t kFewRows = 8;  // beyond, one conversion and sgemm cost less

// Rows of weights, of `in` numbers each, that are the least share of a thread.
std::int64_t grain_of(std::int64_t in) { return std::max<std::int64_t>(1, (1 << 15) / std::max<std::int64_t>(in, 1)); }

std::vector<at::Tensor> few_rows(const at::Tensor& x, std::span<const Int8Weight> weights) {
  const std::int64_t rows = x.size(0), in = x.size(1);
  const RowKernels& kernel = row_kernels();
  const at::Tensor wide = x.contiguous(), whole = at::empty({rows, in}, at::kShort), scale = at::empty({rows}, at::kFloat);
  std::int16_t* inputs = whole.mutable_data_ptr<std::int16_t>();
  float* x_scales = scale.mutable_data_ptr<float>();
  for (std::int64_t row = 0; row < rows; ++row) x_scales[row] = kernel.round_i16(wide.const_data_ptr<float>() + row * in, inputs + row * in, in);
  std::vector<at::Tensor> results;
  std::vector<std::int64_t> outs;
  std::vector<const std::int8_t*> values;  // asked for once: for a block of 16 rows that would cost much of its product
  std::vector<const float*> scales;
  std::vector<float*> targets;
  for (const Int8Weight& weight : weights) {
    outs.push_back(weight.values.size(0));
    results.push_back(at::empty({rows, outs.back()}, wide.options()));
    values.push_back(weight.values.const_data_ptr<std::int8_t>());
    scales.push_back(weight.scales.const_data_ptr<float>());
    targets.push_back(results.back().mutable_data_ptr<float>());
  }
  for_each_block(outs, in, [&](std::size_t which, std::int64_t first, std::int64_t count) {
    for (std::int64_t row = 0; row < rows; ++row)
      kernel.matvec_i8(values[which] + first * in, scales[which] + first, inputs + row * in, x_scales[row], targets[which] + row * outs[which] + first, count, in);
  });
  return results;
}

at::Tensor widen(const Int8Weight& weight) {
  const at::Tensor wide = scratch(weight.values.sizes());
  const std::int64_t in = weight.values.size(1);
  const std::int8_t* from = weight.values.const_data_ptr<std::int8_t>();
  const float* scales = weight.scales.const_data_ptr<float>();
  float* to = wide.mutable_data_ptr<float>();
  const RowKernels& kernel = row_kernels();
  at::parallel_for(0, weight.values.size(0), grain_of(in), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) kernel.widen_i8(from + o * in, scales[o], to + o * in, in);
  });
  return wide;
}

bool fits(const at::Tensor& x) { return !is_reference_forced() && x.device().is_cpu() && x.scalar_type() == at::kFloat; }

at::Tensor few_rows_on_device(const CudaKernels& device, const at::Tensor& x, const Int8Weight& weight) {
  const at::Tensor rows = x.contiguous(), y = at::empty({x.size(0), weight.values.size(0)}, x.options());
  launch("int8_product", device.int8_product,
         {weight.values.const_data_ptr<std::int8_t>(), weight.scales.const_data_ptr<float>(), rows.const_data_ptr(), y.mutable_data_ptr(), number_of(x),
          x.size(0), y.size(1), x.size(1)},
         x);
  return y;
}

}  // namespace

Int8Weight rounded_to_int8(const at::Tensor& weight) {
  if (!weight.device().is_cpu()) {
    const Int8Weight here = rounded_to_int8(weight.to(at::kCPU));
    return {here.values.to(weight.device()), here.scales.to(weight.device())};
  }
  const std::int64_t out = weight.size(0), in = weight.size(1);
  const Int8Weight rounded{at::empty({out, in}, at::kChar), at::empty({out}, at::kFloat)};
  const RowKernels& kernel = row_kernels();
  at::parallel_for(0, out, grain_of(in), [&](std::int64_t begin, std::int64_t end) {
    const at::Tensor wide = weight.narrow(0, begin, end - begin).to(at::kFloat).contiguous();
    for (std::int64_t o = begin; o < end; ++o)
      rounded.scales.mutable_data_ptr<float>()[o] =
          kernel.round_i8(wide.const_data_ptr<float>() + (o - begin) * in, rounded.values.mutable_data_ptr<std::int8_t>() + o * in, in);
  });
  return rounded;
}

at::Tensor linear_reference(const at::Tensor& x, const Int8Weight& weight, const at::Tensor& bias) {
  const at::Tensor wide = weight.values.to(x.scalar_type()) * weight.scales.to(x.scalar_type()).unsqueeze(1);
  return at::linear(x, wide, bias.defined() ? std::optional(bias.to(x.scalar_type())) : std::nullopt);
}

at::Tensor linear(const at::Tensor& x, const Int8Weight& weight, const at::Tensor& bias) {
  if (const CudaKernels* device = device_kernels(x)) {
    if (!device->int8_product || !has_number(x.scalar_type()) || x.size(0) > kMostInt8Rows) return linear_reference(x, weight, bias);
    const at::Tensor y = few_rows_on_device(*device, x, weight);
    return bias.defined() ? y.add_(bias) : y;
  }
  if (!fits(x)) return linear_reference(x, weight, bias);
  at::Tensor y;
  if (x.size(0) <= kFewRows) {  // each number is one thread's: no bit depends on how many there are
    y = few_rows(x, {&weight, 1}).front();
  } else {
    const OneThreadIfSmall one_thread(x.numel() * weight.values.size(0));
    y = at::linear(x, widen(weight));
  }
  return bias.defined() ? y.add_(bias) : y;
}

std::vector<at::Tensor> linear_each(const at::Tensor& x, std::span<const Int8Weight> weights, std::span<const at::Tensor> biases) {
  const bool is_shared = fits(x) && x.size(0) <= kFewRows;
  if (is_shared) return with_biases(few_rows(x, weights), biases);
  std::vector<at::Tensor> results;
  for (std::size_t i = 0; i < weights.size(); ++i) results.push_back(linear(x, weights[i], biases[i]));
  return results;
}

}  // namespace uio::kernels
