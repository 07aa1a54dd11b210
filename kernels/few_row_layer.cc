// Ladder: (1) reference: the ops one by one (rms_norm.h, linear.h, swiglu.h): six forks and joins a layer and some thirty small tensors, a quarter to a third
// of a token's time where a layer's weights are read in 0.4 ms. (2) shipped: two passes of the threads a layer (few_row_phases.h); where attention is that of one
// token, token_pass.h needs one for all layers.
#include "kernels/few_row_layer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "kernels/few_row_phases.h"
#include "kernels/policy.h"
#include "kernels/rows.h"

namespace uio::kernels {

void round_if(at::ScalarType computed, float* values, std::int64_t count) {
  if (computed == at::kBFloat16) row_kernels().round_bf16(values, count);
}

void norm_rows(const float* x, std::int64_t rows, const at::Tensor& norm, double epsilon, at::ScalarType computed, float* out) {
  const std::int64_t n = norm.numel();
  for (std::int64_t row = 0; row < rows; ++row) row_kernels().rms_norm_f32(x + row * n, norm.const_data_ptr<float>(), out + row * n, n, epsilon);
  round_if(computed, out, rows * n);
}

void set_normed(const float* x, std::int64_t rows, const at::Tensor& norm, double epsilon, at::ScalarType computed, float* normed, RowInput& input) {
  norm_rows(x, rows, norm, epsilon, computed, normed);
  input.set(normed);
}

FinishPhases::Member::Member(const FeedForward& layer, std::int64_t rows, std::int64_t which)
    : index(which),
      attended(layer.output.dtype, rows, layer.output.in),
      normed(layer.gate.dtype, rows, layer.gate.in),
      active(layer.down.dtype, rows, layer.down.in),
      middle(floats(rows * layer.output.out)),
      short_rows(floats(rows * layer.output.out)) {}

FinishPhases::FinishPhases(const FeedForward& layer, std::int64_t rows, at::ScalarType computed, std::int64_t members)
    : layer_(layer),
      rows_(rows),
      computed_(computed),
      found_(floats(rows * layer.output.out)),
      gate_(floats(rows * layer.gate.out)),
      up_(floats(rows * layer.gate.out)),
      output_({&layer.output, 1}, members),
      wide_({&layer.gate, 1}, members),
      down_({&layer.down, 1}, members) {}

std::int64_t FinishPhases::worth(const FeedForward& layer) {
  const RowWeight widest[] = {layer.gate, layer.up};
  return Shares::worth(widest);
}

void FinishPhases::run(const float* x, const float* attended, float* out, Member& mine) {
  const RowKernels& kernel = row_kernels();
  const std::int64_t d = layer_.output.out, f = layer_.gate.out;
  mine.attended.set(attended);
  output_.take(mine.index, [&](std::size_t, std::int64_t first, std::int64_t count) {
    mine.attended.multiply(layer_.output, first, count, found_.get(), d);
    for (std::int64_t row = 0; row < rows_; ++row) round_if(computed_, found_.get() + row * d + first, count);
  });
  wide_.warm(mine.index);
  output_.wait();

  kernel.add_f32(x, found_.get(), mine.middle.get(), rows_ * d);
  set_normed(mine.middle.get(), rows_, layer_.norm, layer_.epsilon, computed_, mine.short_rows.get(), mine.normed);
  wide_.take(mine.index, [&](std::size_t, std::int64_t first, std::int64_t count) {
    mine.normed.multiply(layer_.gate, first, count, gate_.get(), f);
    mine.normed.multiply(layer_.up, first, count, up_.get(), f);
    for (std::int64_t row = 0; row < rows_; ++row) {
      float *gates = gate_.get() + row * f + first, *ups = up_.get() + row * f + first;
      round_if(computed_, gates, count);
      round_if(computed_, ups, count);
      kernel.swiglu_f32(gates, ups, gates, count);
      round_if(computed_, gates, count);
    }
  });
  down_.warm(mine.index);
  wide_.wait();

  mine.active.set(gate_.get());
  down_.take(mine.index, [&](std::size_t, std::int64_t first, std::int64_t count) {
    mine.active.multiply(layer_.down, first, count, mine.short_rows.get(), d);
    for (std::int64_t row = 0; row < rows_; ++row) {
      float* fed = mine.short_rows.get() + row * d + first;
      round_if(computed_, fed, count);
      kernel.add_f32(mine.middle.get() + row * d + first, fed, out + row * d + first, count);
    }
  });
}

bool fits_few_rows(const at::Tensor& x, at::ScalarType computed, std::span<const RowWeight> weights) {
  const auto dtype = weights.front().dtype;
  const bool is_known = dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf || (dtype == at::kChar && computed == at::kFloat);
  return is_known && std::all_of(weights.begin(), weights.end(), [&](const RowWeight& weight) { return weight.dtype == dtype; }) &&
         is_few(x.size(0), dtype) && x.device().is_cpu() && x.scalar_type() == at::kFloat && x.is_contiguous() && !x.requires_grad() &&
         (computed == at::kFloat || computed == at::kBFloat16) && !is_reference_forced();
}

std::vector<at::Tensor> norm_linear_each(const at::Tensor& x, const at::Tensor& norm, double epsilon, at::ScalarType computed, std::span<const RowWeight> weights) {
  const std::int64_t rows = x.size(0), in = x.size(1);
  const auto normed = floats(rows * in);
  RowInput input(weights.front().dtype, rows, in);
  set_normed(x.const_data_ptr<float>(), rows, norm, epsilon, computed, normed.get(), input);
  return few_rows_each(input, computed, weights);
}

at::Tensor finish_few_rows(const at::Tensor& x, const at::Tensor& attended, const FeedForward& layer) {
  const std::int64_t rows = x.size(0), threads = FinishPhases::worth(layer);
  const at::Tensor from = attended.to(at::kFloat).contiguous(), out = at::empty_like(x);
  FinishPhases phases(layer, rows, attended.scalar_type(), threads);
  std::vector<FinishPhases::Member> members;
  for (std::int64_t i = 0; i < threads; ++i) members.emplace_back(layer, rows, i);
  for_each_member(threads, [&](std::int64_t member) {
    phases.run(x.const_data_ptr<float>(), from.const_data_ptr<float>(), out.mutable_data_ptr<float>(), members[static_cast<std::size_t>(member)]);
  });
  return out;
}

}  // namespace uio::kernels
