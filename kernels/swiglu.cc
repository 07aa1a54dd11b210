// Ladder: (1) reference composition, two passes and two new tensors; (2) shipped on the CPU: one pass in place (rows.h).
#include "kernels/swiglu.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "kernels/policy.h"
#include "kernels/rows.h"

namespace uio::kernels {

at::Tensor swiglu_reference(const at::Tensor& gate, const at::Tensor& up) { return at::silu(gate) * up; }

at::Tensor swiglu(at::Tensor gate, const at::Tensor& up) {
  const bool is_wide = gate.scalar_type() == at::kFloat, is_narrow = gate.scalar_type() == at::kBFloat16;
  const bool fits = gate.device().is_cpu() && (is_wide || is_narrow) && gate.is_contiguous() && up.is_contiguous() && !gate.requires_grad();
  if (is_reference_forced() || !fits) return swiglu_reference(gate, up);
  const RowKernels& kernel = row_kernels();
  at::parallel_for(0, gate.numel(), 16384, [&](std::int64_t begin, std::int64_t end) {
    if (is_wide)
      kernel.swiglu_f32(gate.mutable_data_ptr<float>() + begin, up.const_data_ptr<float>() + begin, end - begin);
    else
      kernel.swiglu_bf16(reinterpret_cast<std::uint16_t*>(gate.mutable_data_ptr<at::BFloat16>()) + begin,
                         reinterpret_cast<const std::uint16_t*>(up.const_data_ptr<at::BFloat16>()) + begin, end - begin);
  });
  return gate;
}

}  // namespace uio::kernels
