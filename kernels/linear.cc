// Ladder: (1) reference: widen a fresh copy, at::linear. (2) few rows: one pass over the narrow weights (rows.h), bound by reading
// them; LibTorch's own one-row product reads f32 weights at about a third of that on CPUs with few cores. (3) many rows of another dtype:
// widen into a scratch that is kept (fresh memory costs more than the conversion), then one sgemm, bound by arithmetic.
#include "kernels/linear.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "kernels/few_rows.h"
#include "kernels/policy.h"
#include "kernels/rows.h"
#include "kernels/scratch.h"
#include "kernels/small_product.h"

namespace uio::kernels {
namespace {

constexpr std::int64_t kFewRows = 4;  // up to here the read of the weights is the cost

// Weights of one dtype.
std::vector<at::Tensor> few_rows(const at::Tensor& x, std::span<const at::Tensor> weights) {
  const std::int64_t rows = x.size(0), in = x.size(1);
  const auto dtype = weights.front().scalar_type();
  at::Tensor wide = x.to(at::kFloat).contiguous();
  std::vector<at::Tensor> results;
  std::vector<std::int64_t> outs;
  std::vector<const void*> values;  // asked for once: for a block of 16 rows that would cost much of its product
  std::vector<float*> targets;
  for (const at::Tensor& weight : weights) {
    outs.push_back(weight.size(0));
    results.push_back(at::empty({rows, outs.back()}, wide.options()));
    values.push_back(weight.const_data_ptr());
    targets.push_back(results.back().mutable_data_ptr<float>());
  }
  const RowKernels& kernel = row_kernels();
  if (dtype == at::kBFloat16) {
    const at::Tensor paired = at::empty_like(wide);
    for (std::int64_t row = 0; row < rows; ++row)
      kernel.pair_up(wide.const_data_ptr<float>() + row * in, paired.mutable_data_ptr<float>() + row * in, in);
    wide = paired;
  }
  const float* from = wide.const_data_ptr<float>();
  for_each_block(outs, in, [&](std::size_t which, std::int64_t first, std::int64_t count) {
    const void* weight = values[which];
    float* to = targets[which] + first;
    for (std::int64_t row = 0; row < rows; ++row, to += outs[which]) {
      const float* input = from + row * in;
      if (dtype == at::kFloat)
        kernel.matvec_f32(static_cast<const float*>(weight) + first * in, input, to, count, in);
      else if (dtype == at::kBFloat16)
        kernel.matvec_bf16(static_cast<const std::uint16_t*>(weight) + first * in, input, to, count, in);
      else
        kernel.matvec_f16(static_cast<const std::uint16_t*>(weight) + first * in, input, to, count, in);
    }
  });
  for (at::Tensor& result : results) result = result.to(x.scalar_type());
  return results;
}

at::Tensor widen(const at::Tensor& weight) {
  const at::Tensor wide = scratch(weight.sizes());
  float* out = wide.mutable_data_ptr<float>();
  const auto* in = static_cast<const std::uint16_t*>(weight.const_data_ptr());
  const RowKernels& kernel = row_kernels();
  const auto convert = weight.scalar_type() == at::kBFloat16 ? kernel.widen_bf16 : kernel.widen_f16;
  at::parallel_for(0, weight.numel(), 65536, [&](std::int64_t begin, std::int64_t end) { convert(in + begin, out + begin, end - begin); });
  return wide;
}

bool fits(const at::Tensor& x, const at::Tensor& weight) {
  const auto stored = weight.scalar_type(), computed = x.scalar_type();
  const bool is_known = stored == at::kFloat || stored == at::kBFloat16 || stored == at::kHalf;
  return !is_reference_forced() && x.device().is_cpu() && weight.is_contiguous() && is_known && (computed == at::kFloat || computed == at::kBFloat16) &&
         !x.requires_grad() && !weight.requires_grad();
}

}  // namespace

at::Tensor linear_reference(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::linear(x, weight.to(x.scalar_type()), bias.defined() ? std::optional(bias.to(x.scalar_type())) : std::nullopt);
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (!fits(x, weight)) return linear_reference(x, weight, bias);
  const auto stored = weight.scalar_type(), computed = x.scalar_type();
  at::Tensor y;
  if (x.size(0) <= kFewRows) {  // each number is one thread's: no bit depends on how many there are
    y = few_rows(x, {&weight, 1}).front();
    return bias.defined() ? y.add_(bias) : y;
  }
  const OneThreadIfSmall one_thread(x.numel() * weight.size(0));
  if (stored == computed) {
    y = at::linear(x, weight);
  } else if (computed == at::kFloat) {
    y = at::linear(x, widen(weight));
  } else {
    return linear_reference(x, weight, bias);
  }
  return bias.defined() ? y.add_(bias) : y;
}

std::vector<at::Tensor> linear_each(const at::Tensor& x, std::span<const at::Tensor> weights, std::span<const at::Tensor> biases) {
  bool is_shared = x.size(0) <= kFewRows;
  for (const at::Tensor& weight : weights) is_shared = is_shared && fits(x, weight) && weight.scalar_type() == weights.front().scalar_type();
  if (is_shared) return with_biases(few_rows(x, weights), biases);
  std::vector<at::Tensor> results;
  for (std::size_t i = 0; i < weights.size(); ++i) results.push_back(linear(x, weights[i], biases[i]));
  return results;
}

}  // namespace uio::kernels
