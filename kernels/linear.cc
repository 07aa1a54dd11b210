// Ladder: (1) reference: widen a fresh copy, at::linear. (2) few rows: one pass over the narrow weights (rows.h), bound by reading
// them; LibTorch's own one-row product reads f32 weights at about a third of that on CPUs with few cores. (3) many rows in f32: tiles of our own where the CPU's are
// better than BLAS (many_rows.h). (4) many rows elsewhere: weights of another dtype are widened into a scratch that is kept (fresh memory costs more than the
// conversion), then one sgemm. Both bound by arithmetic.
#include "kernels/linear.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <utility>
#include <vector>

#include "kernels/few_rows.h"
#include "kernels/many_rows.h"
#include "kernels/policy.h"
#include "kernels/rows.h"
#include "kernels/scratch.h"
#include "kernels/small_product.h"

namespace uio::kernels {
namespace {

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
  const RowWeight only = row_weight(weight);
  if (std::vector<at::Tensor> own = rows_each(x, {&only, 1}); !own.empty()) return with_biases(std::move(own), {&bias, 1}).front();
  at::Tensor y;
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
  bool is_shared = true;
  for (const at::Tensor& weight : weights) is_shared = is_shared && fits(x, weight) && weight.scalar_type() == weights.front().scalar_type();
  if (is_shared)
    if (std::vector<at::Tensor> own = rows_each(x, row_weights(weights)); !own.empty()) return with_biases(std::move(own), biases);
  std::vector<at::Tensor> results;
  for (std::size_t i = 0; i < weights.size(); ++i) results.push_back(linear(x, weights[i], biases[i]));
  return results;
}

}  // namespace uio::kernels
