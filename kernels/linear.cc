// Ladder: (1) reference: widen a fresh copy, at::linear. (2) few rows: one pass over the narrow weights (rows.h), bound by reading
// them; LibTorch's own one-row product reads f32 weights at about a third of that on CPUs with few cores. (3) many rows of another dtype:
// widen into a scratch that is kept (fresh memory costs more than the conversion), then one sgemm, bound by arithmetic.
#include "kernels/linear.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "kernels/policy.h"
#include "kernels/rows.h"
#include "kernels/scratch.h"
#include "kernels/small_product.h"

namespace uio::kernels {
namespace {

constexpr std::int64_t kFewRows = 4;  // up to here the read of the weights is the cost

at::Tensor few_rows(const at::Tensor& x, const at::Tensor& weight) {
  const std::int64_t rows = x.size(0), in = x.size(1), out = weight.size(0);
  at::Tensor wide = x.to(at::kFloat).contiguous();
  at::Tensor y = at::empty({rows, out}, wide.options());
  const RowKernels& kernel = row_kernels();
  if (weight.scalar_type() == at::kBFloat16) {
    const at::Tensor paired = at::empty_like(wide);
    for (std::int64_t row = 0; row < rows; ++row)
      kernel.pair_up(wide.const_data_ptr<float>() + row * in, paired.mutable_data_ptr<float>() + row * in, in);
    wide = paired;
  }
  const float* from = wide.const_data_ptr<float>();
  float* to = y.mutable_data_ptr<float>();
  const void* weights = weight.const_data_ptr();
  const auto dtype = weight.scalar_type();
  const std::int64_t grain = std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(in, 1));
  at::parallel_for(0, out, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; o += 16) {  // 16 rows of weights stay in cache for the next row of x
      const std::int64_t count = std::min<std::int64_t>(16, end - o);
      for (std::int64_t row = 0; row < rows; ++row) {
        const float* input = from + row * in;
        float* result = to + row * out + o;
        if (dtype == at::kFloat)
          kernel.matvec_f32(static_cast<const float*>(weights) + o * in, input, result, count, in);
        else if (dtype == at::kBFloat16)
          kernel.matvec_bf16(static_cast<const std::uint16_t*>(weights) + o * in, input, result, count, in);
        else
          kernel.matvec_f16(static_cast<const std::uint16_t*>(weights) + o * in, input, result, count, in);
      }
    }
  });
  return y.to(x.scalar_type());
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

}  // namespace

at::Tensor linear_reference(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::linear(x, weight.to(x.scalar_type()), bias.defined() ? std::optional(bias.to(x.scalar_type())) : std::nullopt);
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const auto stored = weight.scalar_type(), computed = x.scalar_type();
  const bool is_known = stored == at::kFloat || stored == at::kBFloat16 || stored == at::kHalf;
  const bool fits = x.device().is_cpu() && weight.is_contiguous() && is_known && (computed == at::kFloat || computed == at::kBFloat16) &&
                    !x.requires_grad() && !weight.requires_grad();
  if (is_reference_forced() || !fits) return linear_reference(x, weight, bias);

  const OneThreadIfSmall one_thread(x.numel() * weight.size(0));
  at::Tensor y;
  if (x.size(0) <= kFewRows) {
    y = few_rows(x, weight);
  } else if (stored == computed) {
    y = at::linear(x, weight);
  } else if (computed == at::kFloat) {
    y = at::linear(x, widen(weight));
  } else {
    return linear_reference(x, weight, bias);
  }
  return bias.defined() ? y.add_(bias) : y;
}

}  // namespace uio::kernels
