// Ladder: (1) reference composition, five passes over x, and ten more for its gradient; (2) shipped on the CPU: one fused pass
// a row, and one for the gradient (rows.h), which keeps x and one number a row.
#include "kernels/rms_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/gradient.h"
#include "kernels/policy.h"
#include "kernels/rows.h"

namespace uio::kernels {
namespace {

// Rows whose part of the weight's gradient is summed up before it joins the others', in order: the sum is the same for any
// number of threads.
constexpr std::int64_t kRowsOfSum = 128;

std::int64_t rows_of(const at::Tensor& x) { return x.numel() == 0 ? 0 : x.numel() / x.size(-1); }

// The fused pass; the rows' 1/rms go to `scales` [rows] where that is defined.
at::Tensor normalise(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType dtype,
                     const at::Tensor& scales) {
  at::Tensor out = at::empty(x.sizes(), x.options().dtype(dtype));
  const std::int64_t n = x.size(-1), rows = rows_of(x);
  const float* in = x.const_data_ptr<float>();
  const float* factor = weight.const_data_ptr<float>();
  float* kept = scales.defined() ? scales.mutable_data_ptr<float>() : nullptr;
  const RowKernels& kernel = row_kernels();
  const bool narrow = dtype == at::kBFloat16;
  float* wide_out = narrow ? nullptr : out.mutable_data_ptr<float>();
  auto* narrow_out = narrow ? reinterpret_cast<std::uint16_t*>(out.mutable_data_ptr<at::BFloat16>()) : nullptr;
  at::parallel_for(0, rows, std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(n, 1)),
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t row = begin; row < end; ++row) {
                       const float scale = narrow ? kernel.rms_norm_bf16(in + row * n, factor, narrow_out + row * n, n, epsilon)
                                                  : kernel.rms_norm_f32(in + row * n, factor, wide_out + row * n, n, epsilon);
                       if (kept) kept[row] = scale;
                     }
                   });
  return out;
}

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double epsilon, at::ScalarType dtype) {
    const at::Tensor scales = at::empty({rows_of(x)}, x.options());
    at::Tensor out = normalise(x, weight, epsilon, dtype, scales);
    context->save_for_backward({x, weight, scales});
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list slopes) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &scales = saved[2];
    const at::Tensor slope = slopes[0].to(at::kFloat).contiguous();
    const std::int64_t n = x.size(-1), rows = rows_of(x), sums = (rows + kRowsOfSum - 1) / kRowsOfSum;
    const bool wants_weight = context->needs_input_grad(1);
    const at::Tensor x_slope = at::empty_like(x), parts = wants_weight ? at::zeros({sums, n}, x.options()) : at::Tensor();
    const float *in = x.const_data_ptr<float>(), *factor = weight.const_data_ptr<float>(),
                *given = slope.const_data_ptr<float>(), *scale = scales.const_data_ptr<float>();
    float *out = x_slope.mutable_data_ptr<float>(), *part = wants_weight ? parts.mutable_data_ptr<float>() : nullptr;
    const RowKernels& kernel = row_kernels();
    at::parallel_for(0, sums, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin * kRowsOfSum; row < std::min(rows, end * kRowsOfSum); ++row)
        kernel.rms_norm_backward(in + row * n, factor, given + row * n, scale[row], out + row * n,
                                 part ? part + row / kRowsOfSum * n : nullptr, n);
    });
    if (!wants_weight) return {x_slope, {}, {}, {}};
    const at::Tensor weight_slope = at::zeros({n}, x.options());
    for (std::int64_t i = 0; i < sums; ++i) weight_slope.add_(parts[i]);
    return {x_slope, weight_slope, {}, {}};
  }
};

}  // namespace

at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType dtype) {
  return (x * at::rsqrt(x.square().mean(-1, true) + epsilon) * weight).to(dtype);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType dtype) {
  const bool fits = x.device().is_cpu() && x.scalar_type() == at::kFloat && x.is_contiguous() && weight.is_contiguous() &&
                    (dtype == at::kFloat || dtype == at::kBFloat16);
  if (is_reference_forced() || !fits) return rms_norm_reference(x, weight, epsilon, dtype);
  return is_recorded(x, weight) ? RmsNorm::apply(x, weight, epsilon, dtype) : normalise(x, weight, epsilon, dtype, {});
}

}  // namespace uio::kernels
