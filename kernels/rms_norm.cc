// Ladder: (1) reference composition, five passes over x, and ten more for its gradient; (2) shipped on the CPU: one fused pass
// a row, and one for the gradient (rows.h), which keeps x and one number a row; (3) the same on a CUDA device (cuda/rms_norm.h).
#include "kernels/rms_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/device_kernels.h"
#include "kernels/gradient.h"
#include "kernels/policy.h"
#include "kernels/rows.h"

namespace uio::kernels {
namespace {

// Rows whose part of the weight's gradient is summed up before it joins the others', in order: the sum is the same for any
// number of threads.
constexpr std::int64_t kRowsOfSum = 128;
constexpr std::int64_t kMostSumsOfDevice = 1024;  // there a block goes through the rows of a sum: as few as keep all processors busy

std::int64_t rows_of(const at::Tensor& x) { return x.numel() == 0 ? 0 : x.numel() / x.size(-1); }

// What is normalised, and what of it is kept for the gradient or for the next layer; undefined what is not.
struct Rows {
  at::Tensor x, added, sum, scales;  // [..., n] f32, [..., n] f32 or bf16, as x, [rows] f32: each row's 1/rms
};

// The fused pass over x, or over x + added, which goes to `sum`.
at::Tensor normalise(const Rows& given, const at::Tensor& weight, double epsilon, at::ScalarType dtype) {
  const at::Tensor& x = given.x;
  at::Tensor out = at::empty(x.sizes(), x.options().dtype(dtype));
  const std::int64_t n = x.size(-1), rows = rows_of(x);
  const float* in = x.const_data_ptr<float>();
  const float* factor = weight.const_data_ptr<float>();
  float* kept = given.scales.defined() ? given.scales.mutable_data_ptr<float>() : nullptr;
  float* sum = given.added.defined() ? given.sum.mutable_data_ptr<float>() : nullptr;
  const void* added = sum ? given.added.const_data_ptr() : nullptr;
  const bool adds_narrow = sum && given.added.scalar_type() == at::kBFloat16;
  if (const CudaKernels* device = device_kernels(x)) {
    launch("rms_norm", device->rms_norm,
           {in, added, sum ? number_of(given.added) : Number::kF32, sum, factor, out.mutable_data_ptr(), number_of(out), kept, rows, n, epsilon}, x);
    return out;
  }
  const RowKernels& kernel = row_kernels();
  const bool narrow = dtype == at::kBFloat16;
  float* wide_out = narrow ? nullptr : out.mutable_data_ptr<float>();
  auto* narrow_out = narrow ? reinterpret_cast<std::uint16_t*>(out.mutable_data_ptr<at::BFloat16>()) : nullptr;
  const auto normalise_row = [&](std::int64_t row) {
    const float* line = in + row * n;
    if (adds_narrow) kernel.add_bf16(line, static_cast<const std::uint16_t*>(added) + row * n, sum + row * n, n);
    else if (sum) kernel.add_f32(line, static_cast<const float*>(added) + row * n, sum + row * n, n);
    if (sum) line = sum + row * n;  // in cache now
    return narrow ? kernel.rms_norm_bf16(line, factor, narrow_out + row * n, n, epsilon)
                  : kernel.rms_norm_f32(line, factor, wide_out + row * n, n, epsilon);
  };
  at::parallel_for(0, rows, std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(n, 1)),
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t row = begin; row < end; ++row) {
                       const float scale = normalise_row(row);
                       if (kept) kept[row] = scale;
                     }
                   });
  return out;
}

struct Slopes {
  at::Tensor x, weight;  // weight: undefined where it is not wanted
};

// The gradients of rows that were normalised. `sum_slope` as x or undefined: what else x's gradient is made of.
Slopes derive(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& scales, const at::Tensor& given, const at::Tensor& sum_slope,
              bool wants_weight) {
  const at::Tensor slope = given.to(at::kFloat).contiguous(), more = sum_slope.defined() ? sum_slope.contiguous() : sum_slope;
  const CudaKernels* device = device_kernels(x);
  const std::int64_t n = x.size(-1), rows = rows_of(x), rows_of_sum = device ? (rows + kMostSumsOfDevice - 1) / kMostSumsOfDevice : kRowsOfSum;
  const std::int64_t sums = rows == 0 ? 0 : (rows + rows_of_sum - 1) / rows_of_sum;
  const at::Tensor x_slope = at::empty_like(x), parts = wants_weight ? at::zeros({sums, n}, x.options()) : at::Tensor();
  const float *in = x.const_data_ptr<float>(), *factor = weight.const_data_ptr<float>(), *from = slope.const_data_ptr<float>(),
              *scale = scales.const_data_ptr<float>(), *other = more.defined() ? more.const_data_ptr<float>() : nullptr;
  float *out = x_slope.mutable_data_ptr<float>(), *part = wants_weight ? parts.mutable_data_ptr<float>() : nullptr;
  if (device) {
    launch("rms_norm_slope", device->rms_norm_slope, {in, factor, from, scale, other, out, part, rows, n, rows_of_sum}, x);
    return {x_slope, wants_weight ? parts.sum(0) : at::Tensor()};
  }
  const RowKernels& kernel = row_kernels();
  at::parallel_for(0, sums, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin * rows_of_sum; row < std::min(rows, end * rows_of_sum); ++row) {
      kernel.rms_norm_backward(in + row * n, factor, from + row * n, scale[row], out + row * n,
                               part ? part + row / rows_of_sum * n : nullptr, n);
      if (other) kernel.add_f32(out + row * n, other + row * n, out + row * n, n);
    }
  });
  if (!wants_weight) return {x_slope, {}};
  const at::Tensor weight_slope = at::zeros({n}, x.options());
  for (std::int64_t i = 0; i < sums; ++i) weight_slope.add_(parts[i]);
  return {x_slope, weight_slope};
}

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double epsilon, at::ScalarType dtype) {
    const at::Tensor scales = at::empty({rows_of(x)}, x.options());
    at::Tensor out = normalise({x, {}, {}, scales}, weight, epsilon, dtype);
    context->save_for_backward({x, weight, scales});
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list slopes) {
    const auto saved = context->get_saved_variables();
    const Slopes found = derive(saved[0], saved[1], saved[2], slopes[0], {}, context->needs_input_grad(1));
    return {found.x, found.weight, {}, {}};
  }
};

class AddRmsNorm : public torch::autograd::Function<AddRmsNorm> {
 public:
  // The sum and what is normalised.
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& added,
                                                const at::Tensor& weight, double epsilon, at::ScalarType dtype) {
    const at::Tensor scales = at::empty({rows_of(x)}, x.options()), sum = at::empty_like(x);
    at::Tensor out = normalise({x, added, sum, scales}, weight, epsilon, dtype);
    context->save_for_backward({sum, weight, scales});
    context->saved_data["added"] = static_cast<std::int64_t>(added.scalar_type());
    context->set_materialize_grads(false);
    return {sum, out};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list slopes) {
    const auto saved = context->get_saved_variables();
    const auto added = static_cast<at::ScalarType>(context->saved_data["added"].toInt());
    Slopes found{slopes[0], {}};  // where only the sum was used
    if (slopes[1].defined()) found = derive(saved[0], saved[1], saved[2], slopes[1], slopes[0], context->needs_input_grad(2));
    return {found.x, found.x.defined() ? found.x.to(added) : found.x, found.weight, {}, {}};
  }
};

bool fits(const at::Tensor& x, const at::Tensor& weight, at::ScalarType dtype) {
  const CudaKernels* device = device_kernels(x);
  const bool is_here = device ? device->rms_norm && device->rms_norm_slope : x.device().is_cpu();
  return is_here && x.scalar_type() == at::kFloat && x.is_contiguous() && weight.scalar_type() == at::kFloat && weight.is_contiguous() &&
         has_number(dtype) && !is_reference_forced();
}

}  // namespace

at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType dtype) {
  return (x * at::rsqrt(x.square().mean(-1, true) + epsilon) * weight).to(dtype);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType dtype) {
  if (!fits(x, weight, dtype)) return rms_norm_reference(x, weight, epsilon, dtype);
  return is_recorded(x, weight) ? RmsNorm::apply(x, weight, epsilon, dtype) : normalise({x, {}, {}, {}}, weight, epsilon, dtype);
}

AddedNorm add_rms_norm_reference(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight, double epsilon, at::ScalarType dtype) {
  const at::Tensor sum = x + added;
  return {sum, rms_norm_reference(sum, weight, epsilon, dtype)};
}

AddedNorm add_rms_norm(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight, double epsilon, at::ScalarType dtype) {
  const auto type = added.scalar_type();
  if (!fits(x, weight, dtype) || !added.is_contiguous() || added.sizes() != x.sizes() || !has_number(type)) {
    const at::Tensor sum = x + added;
    return {sum, rms_norm(sum, weight, epsilon, dtype)};
  }
  if (is_recorded(x, added, weight)) {
    const auto out = AddRmsNorm::apply(x, added, weight, epsilon, dtype);
    return {out[0], out[1]};
  }
  const at::Tensor sum = at::empty_like(x);
  const at::Tensor normed = normalise({x, added, sum, {}}, weight, epsilon, dtype);
  return {sum, normed};
}

}  // namespace uio::kernels
