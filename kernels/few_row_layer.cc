// Ladder: (1) reference: the ops one by one (rms_norm.h, linear.h, swiglu.h): six forks and joins a layer and some thirty small tensors, a quarter to a third
// of a token's time where a layer's weights are read in 0.4 ms. (2) shipped: every thread computes what is short (norms, sums) for itself, takes
// shares of the products, and waits for the others only where it reads what they wrote.
#include "kernels/few_row_layer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/util/BFloat16.h>

#include <algorithm>

#include "kernels/policy.h"
#include "kernels/rows.h"

namespace uio::kernels {
namespace {

using Floats = std::unique_ptr<float[]>;
Floats floats(std::int64_t count) { return std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(count)); }

// What an op would have kept in bf16.
void round_if(at::ScalarType computed, float* values, std::int64_t count) {
  if (computed != at::kBFloat16) return;
  for (std::int64_t i = 0; i < count; ++i) values[i] = static_cast<float>(c10::BFloat16(values[i]));
}

// The rows' norm, as the products after it read it. normed: [R, D], overwritten.
void set_normed(const float* x, std::int64_t rows, const at::Tensor& norm, double epsilon, at::ScalarType computed, float* normed, RowInput& input) {
  const std::int64_t n = norm.numel();
  for (std::int64_t row = 0; row < rows; ++row) row_kernels().rms_norm_f32(x + row * n, norm.const_data_ptr<float>(), normed + row * n, n, epsilon);
  round_if(computed, normed, rows * n);
  input.set(normed);
}

// One thread's scratch of finish_few_rows.
struct Member {
  Member(const FeedForward& layer, std::int64_t rows)
      : attended(layer.output.dtype, rows, layer.output.in),
        normed(layer.gate.dtype, rows, layer.gate.in),
        active(layer.down.dtype, rows, layer.down.in),
        middle(floats(rows * layer.output.out)),
        short_rows(floats(rows * layer.output.out)) {}
  RowInput attended, normed, active;
  Floats middle, short_rows;  // [R, D]
};

}  // namespace

bool fits_few_rows(const at::Tensor& x, at::ScalarType computed, std::span<const RowWeight> weights) {
  const auto dtype = weights.front().dtype;
  const bool is_known = dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf || (dtype == at::kChar && computed == at::kFloat);
  return is_known && std::all_of(weights.begin(), weights.end(), [&](const RowWeight& weight) { return weight.dtype == dtype; }) &&
         is_few(x.size(0), dtype) && x.device().is_cpu() && x.scalar_type() == at::kFloat && x.is_contiguous() && !x.requires_grad() &&
         (computed == at::kFloat || computed == at::kBFloat16) && !is_reference_forced();
}

std::vector<at::Tensor> norm_linear_each(const at::Tensor& x, const at::Tensor& norm, double epsilon, at::ScalarType computed, std::span<const RowWeight> weights) {
  const std::int64_t rows = x.size(0), in = x.size(1);
  const Floats normed = floats(rows * in);
  RowInput input(weights.front().dtype, rows, in);
  set_normed(x.const_data_ptr<float>(), rows, norm, epsilon, computed, normed.get(), input);
  return few_rows_each(input, computed, weights);
}

at::Tensor finish_few_rows(const at::Tensor& x, const at::Tensor& attended, const FeedForward& layer) {
  const std::int64_t rows = x.size(0), d = layer.output.out, f = layer.gate.out;
  const auto computed = attended.scalar_type();
  const at::Tensor from = attended.to(at::kFloat).contiguous(), out = at::empty_like(x);
  const Floats found = floats(rows * d), gate = floats(rows * f), up = floats(rows * f);
  const float *before = x.const_data_ptr<float>(), *heads = from.const_data_ptr<float>();
  float* to = out.mutable_data_ptr<float>();
  const RowKernels& kernel = row_kernels();

  Shares output({&layer.output.out, 1}, layer.output.in), wide({&layer.gate.out, 1}, 2 * layer.gate.in), down({&layer.down.out, 1}, layer.down.in);
  const std::int64_t threads = std::max({output.threads(), wide.threads(), down.threads()});
  std::vector<Member> members;
  for (std::int64_t i = 0; i < threads; ++i) members.emplace_back(layer, rows);
  std::atomic<std::size_t> joined = 0;
  at::parallel_for(0, threads, 1, [&](std::int64_t, std::int64_t) {
    Member& mine = members[joined.fetch_add(1)];
    mine.attended.set(heads);
    output.take(threads, [&](std::size_t, std::int64_t first, std::int64_t count) {
      mine.attended.multiply(layer.output, first, count, found.get(), d);
      for (std::int64_t row = 0; row < rows; ++row) round_if(computed, found.get() + row * d + first, count);
    });
    output.wait();

    kernel.add_f32(before, found.get(), mine.middle.get(), rows * d);
    set_normed(mine.middle.get(), rows, layer.norm, layer.epsilon, computed, mine.short_rows.get(), mine.normed);
    wide.take(threads, [&](std::size_t, std::int64_t first, std::int64_t count) {
      mine.normed.multiply(layer.gate, first, count, gate.get(), f);
      mine.normed.multiply(layer.up, first, count, up.get(), f);
      for (std::int64_t row = 0; row < rows; ++row) {
        float *gates = gate.get() + row * f + first, *ups = up.get() + row * f + first;
        round_if(computed, gates, count);
        round_if(computed, ups, count);
        kernel.swiglu_f32(gates, ups, gates, count);
        round_if(computed, gates, count);
      }
    });
    wide.wait();

    mine.active.set(gate.get());
    down.take(threads, [&](std::size_t, std::int64_t first, std::int64_t count) {
      mine.active.multiply(layer.down, first, count, mine.short_rows.get(), d);
      for (std::int64_t row = 0; row < rows; ++row) {
        float* fed = mine.short_rows.get() + row * d + first;
        round_if(computed, fed, count);
        kernel.add_f32(mine.middle.get() + row * d + first, fed, to + row * d + first, count);
      }
    });
  });
  return out;
}

}  // namespace uio::kernels
