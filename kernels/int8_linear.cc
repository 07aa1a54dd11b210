// Ladder: (1) reference: widen a fresh copy, at::linear. (2) few rows: one pass over the 8-bit weights with activations of 13 bits,
// products of 16-bit pairs (rows.h), bound by reading; widening each weight to f32 instead is bound by arithmetic on CPUs with 128-bit
// units. (3) many rows: many_rows.h; where that is not, widen into a scratch that is kept, then one sgemm. (4) on a CUDA device few rows go through cuda/int8_product.h,
// with activations as they are; many as in (1).
#include "kernels/int8_linear.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/device_kernels.h"
#include "kernels/few_rows.h"
#include "kernels/many_rows.h"
#include "kernels/policy.h"
#include "kernels/rows.h"
#include "kernels/scratch.h"
#include "kernels/small_product.h"

namespace uio::kernels {
namespace {

// Rows of weights, of `in` numbers each, that are the least share of a thread.
std::int64_t grain_of(std::int64_t in) { return std::max<std::int64_t>(1, (1 << 15) / std::max<std::int64_t>(in, 1)); }

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

Int8Weight rounded_to_int8(const at::Tensor& weight, WeightMemory* memory) {
  if (!weight.device().is_cpu()) {
    const Int8Weight here = rounded_to_int8(weight.to(at::kCPU));
    return {here.values.to(weight.device()), here.scales.to(weight.device())};
  }
  const std::int64_t out = weight.size(0), in = weight.size(1);
  const Int8Weight rounded = memory ? Int8Weight{memory->empty({out, in}, at::kChar), memory->empty({out}, at::kFloat)}
                                    : Int8Weight{at::empty({out, in}, at::kChar), at::empty({out}, at::kFloat)};
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
  const RowWeight only = row_weight(weight);
  if (std::vector<at::Tensor> own = rows_each(x, {&only, 1}); !own.empty()) return with_biases(std::move(own), {&bias, 1}).front();
  const OneThreadIfSmall one_thread(x.numel() * weight.values.size(0));
  const at::Tensor y = at::linear(x, widen(weight));
  return bias.defined() ? y.add_(bias) : y;
}

std::vector<at::Tensor> linear_each(const at::Tensor& x, std::span<const Int8Weight> weights, std::span<const at::Tensor> biases) {
  if (fits(x))
    if (std::vector<at::Tensor> own = rows_each(x, row_weights(weights)); !own.empty()) return with_biases(std::move(own), biases);
  std::vector<at::Tensor> results;
  for (std::size_t i = 0; i < weights.size(); ++i) results.push_back(linear(x, weights[i], biases[i]));
  return results;
}

}  // namespace uio::kernels
