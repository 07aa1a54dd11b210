// Ladder: (1) reference composition, five passes over x; (2) shipped on the CPU: one fused pass a row (rows.h).
#include "kernels/rms_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "kernels/policy.h"
#include "kernels/rows.h"

namespace uio::kernels {

at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType dtype) {
  return (x * at::rsqrt(x.square().mean(-1, true) + epsilon) * weight).to(dtype);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType dtype) {
  const bool fits = x.device().is_cpu() && x.scalar_type() == at::kFloat && x.is_contiguous() && !x.requires_grad() &&
                    (dtype == at::kFloat || dtype == at::kBFloat16);
  if (is_reference_forced() || !fits) return rms_norm_reference(x, weight, epsilon, dtype);

  at::Tensor out = at::empty(x.sizes(), x.options().dtype(dtype));
  const std::int64_t n = x.size(-1), rows = n == 0 ? 0 : x.numel() / n;
  const float* in = x.const_data_ptr<float>();
  const float* scale = weight.const_data_ptr<float>();
  const RowKernels& kernel = row_kernels();
  const bool narrow = dtype == at::kBFloat16;
  float* wide_out = narrow ? nullptr : out.mutable_data_ptr<float>();
  auto* narrow_out = narrow ? reinterpret_cast<std::uint16_t*>(out.mutable_data_ptr<at::BFloat16>()) : nullptr;
  at::parallel_for(0, rows, std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(n, 1)), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      if (narrow)
        kernel.rms_norm_bf16(in + row * n, scale, narrow_out + row * n, n, epsilon);
      else
        kernel.rms_norm_f32(in + row * n, scale, wide_out + row * n, n, epsilon);
    }
  });
  return out;
}

}  // namespace uio::kernels
