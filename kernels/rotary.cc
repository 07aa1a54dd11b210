// Ladder: (1) reference composition, four products and a copy; (2) shipped on the CPU for f32 and bf16: one pass a row
// (rows.h); (3) the same on a CUDA device (cuda/rotary.h). The gradient is the turn back: the same pass with the other sign of the sines.
#include "kernels/rotary.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/device_kernels.h"
#include "kernels/gradient.h"
#include "kernels/policy.h"
#include "kernels/rows.h"

namespace uio::kernels {
namespace {

at::Tensor turn(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
  // [B, H, T, d] in, rows of [B, T, H, d] out when that is how x lies in memory.
  const std::int64_t batch = x.size(0), heads = x.size(1), count = x.size(2), size = x.size(3);
  const bool by_token = x.stride(1) < x.stride(2);
  at::Tensor out =
      by_token ? at::empty({batch, count, heads, size}, x.options()).transpose(1, 2) : at::empty(x.sizes(), x.options());
  const float* cosines = cosine.const_data_ptr<float>();
  const float* sines = sine.const_data_ptr<float>();
  const std::int64_t half = size / 2;
  if (const CudaKernels* device = device_kernels(x)) {
    launch("rotary", device->rotary,
           {x.const_data_ptr(), out.mutable_data_ptr(), cosines, sines, batch, heads, count, half,
            {x.stride(0), x.stride(1), x.stride(2)}, {out.stride(0), out.stride(1), out.stride(2)}, number_of(x)},
           x);
    return out;
  }
  const RowKernels& kernel = row_kernels();
  // Addresses and strides are asked for once: with the heads' short rows they would cost as much as the turn.
  const auto rows = [&](const auto* from, auto* to, const auto turn_row) {
    const std::int64_t from_batch = x.stride(0), from_head = x.stride(1), from_token = x.stride(2);
    const std::int64_t to_batch = out.stride(0), to_head = out.stride(1), to_token = out.stride(2);
    const std::int64_t grain = std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(heads * size, 1));
    at::parallel_for(0, batch * count, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t at = begin; at < end; ++at) {
        const std::int64_t b = at / count, t = at % count;
        for (std::int64_t h = 0; h < heads; ++h)
          turn_row(from + b * from_batch + h * from_head + t * from_token, cosines + t * half, sines + t * half,
                   to + b * to_batch + h * to_head + t * to_token, half);
      }
    });
  };
  if (x.scalar_type() == at::kFloat)
    rows(x.const_data_ptr<float>(), out.mutable_data_ptr<float>(), kernel.rotary_f32);
  else
    rows(reinterpret_cast<const std::uint16_t*>(x.const_data_ptr<at::BFloat16>()),
         reinterpret_cast<std::uint16_t*>(out.mutable_data_ptr<at::BFloat16>()), kernel.rotary_bf16);
  return out;
}

class Rotary : public torch::autograd::Function<Rotary> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& cosine,
                            const at::Tensor& sine) {
    context->save_for_backward({cosine, sine});
    return turn(x, cosine, sine);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list slopes) {
    const auto saved = context->get_saved_variables();
    const at::Tensor slope = slopes[0].stride(3) == 1 ? slopes[0] : slopes[0].contiguous();
    return {turn(slope, saved[0], saved[1].neg()), {}, {}};
  }
};

}  // namespace

at::Tensor rotary_reference(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
  const std::int64_t half = x.size(-1) / 2;
  const at::Tensor wide = x.to(cosine.scalar_type());
  const at::Tensor a = wide.narrow(-1, 0, half), b = wide.narrow(-1, half, half);
  return at::cat({a * cosine - b * sine, b * cosine + a * sine}, -1).to(x.scalar_type());
}

at::Tensor rotary(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
  const CudaKernels* device = device_kernels(x);
  const bool is_here = device ? device->rotary != nullptr : x.device().is_cpu();
  const bool is_known = has_number(x.scalar_type()) && cosine.scalar_type() == at::kFloat && sine.scalar_type() == at::kFloat;
  const bool fits = is_here && is_known && x.dim() == 4 && x.stride(3) == 1 && cosine.is_contiguous() && sine.is_contiguous() &&
                    cosine.dim() == 2 && cosine.size(0) == x.size(2) && sine.sizes() == cosine.sizes() && !cosine.requires_grad() && !sine.requires_grad();
  if (is_reference_forced() || !fits) return rotary_reference(x, cosine, sine);
  return is_recorded(x) ? Rotary::apply(x, cosine, sine) : turn(x, cosine, sine);
}

}  // namespace uio::kernels
