// Ladder: (1) reference composition, two passes and two new tensors; (2) shipped on the CPU: one pass in place, and one for the
// gradient (rows.h), which computes σ(gate) anew; (3) the same on a CUDA device (cuda/swiglu.h), whose gradient reads and writes bf16
// as it is.
#include "kernels/swiglu.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/device_kernels.h"
#include "kernels/gradient.h"
#include "kernels/policy.h"
#include "kernels/rows.h"

namespace uio::kernels {
namespace {

constexpr std::int64_t kGrain = 16384;  // elements that are worth a thread

void multiply(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& out) {
  if (const CudaKernels* device = device_kernels(gate)) {
    launch("swiglu", device->swiglu, {gate.const_data_ptr(), up.const_data_ptr(), out.mutable_data_ptr(), gate.numel(), number_of(gate)}, gate);
    return;
  }
  const RowKernels& kernel = row_kernels();
  const bool is_wide = gate.scalar_type() == at::kFloat;
  at::parallel_for(0, gate.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    if (is_wide)
      kernel.swiglu_f32(gate.const_data_ptr<float>() + begin, up.const_data_ptr<float>() + begin,
                        out.mutable_data_ptr<float>() + begin, end - begin);
    else
      kernel.swiglu_bf16(reinterpret_cast<const std::uint16_t*>(gate.const_data_ptr<at::BFloat16>()) + begin,
                         reinterpret_cast<const std::uint16_t*>(up.const_data_ptr<at::BFloat16>()) + begin,
                         reinterpret_cast<std::uint16_t*>(out.mutable_data_ptr<at::BFloat16>()) + begin, end - begin);
  });
}

class Swiglu : public torch::autograd::Function<Swiglu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& gate, const at::Tensor& up) {
    at::Tensor out = at::empty_like(gate);
    multiply(gate, up, out);
    context->save_for_backward({gate, up});
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list slopes) {
    const auto saved = context->get_saved_variables();
    if (const CudaKernels* device = device_kernels(saved[0])) {
      const at::Tensor slope = slopes[0].contiguous(), gate_slope = at::empty_like(saved[0]), up_slope = at::empty_like(saved[1]);
      launch("swiglu_slope", device->swiglu_slope,
             {saved[0].const_data_ptr(), saved[1].const_data_ptr(), slope.const_data_ptr(), gate_slope.mutable_data_ptr(), up_slope.mutable_data_ptr(),
              slope.numel(), number_of(slope)},
             slope);
      return {gate_slope, up_slope};
    }
    const at::Tensor gate = saved[0].to(at::kFloat), up = saved[1].to(at::kFloat),
                     slope = slopes[0].to(at::kFloat).contiguous();
    const at::Tensor gate_slope = at::empty_like(gate), up_slope = at::empty_like(gate);
    const RowKernels& kernel = row_kernels();
    at::parallel_for(0, gate.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      kernel.swiglu_backward(gate.const_data_ptr<float>() + begin, up.const_data_ptr<float>() + begin,
                             slope.const_data_ptr<float>() + begin, gate_slope.mutable_data_ptr<float>() + begin,
                             up_slope.mutable_data_ptr<float>() + begin, end - begin);
    });
    return {gate_slope.to(saved[0].scalar_type()), up_slope.to(saved[1].scalar_type())};
  }
};

}  // namespace

at::Tensor swiglu_reference(const at::Tensor& gate, const at::Tensor& up) { return at::silu(gate) * up; }

at::Tensor swiglu(at::Tensor gate, const at::Tensor& up) {
  const CudaKernels* device = device_kernels(gate);
  const bool is_here = device ? device->swiglu && device->swiglu_slope : gate.device().is_cpu();
  const bool is_known = has_number(gate.scalar_type()) && up.scalar_type() == gate.scalar_type() && up.sizes() == gate.sizes();
  const bool fits = is_here && is_known && gate.is_contiguous() && up.is_contiguous();
  if (is_reference_forced() || !fits) return swiglu_reference(gate, up);
  if (is_recorded(gate, up)) return Swiglu::apply(gate, up);
  // A gate that requires a gradient is somebody's, even where nothing is recorded now.
  const at::Tensor out = gate.requires_grad() ? at::empty(gate.sizes(), gate.options()) : gate;
  multiply(gate, up, out);
  return out;
}

}  // namespace uio::kernels
