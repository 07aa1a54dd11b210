#include "kernels/few_rows.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <atomic>

#include "kernels/rows.h"

namespace uio::kernels {

RowWeight row_weight(const at::Tensor& weight) { return {weight.scalar_type(), weight.const_data_ptr(), nullptr, weight.size(0), weight.size(1)}; }

RowWeight row_weight(const Int8Weight& weight) {
  return {at::kChar, weight.values.const_data_ptr(), weight.scales.const_data_ptr<float>(), weight.values.size(0), weight.values.size(1)};
}

bool is_few(std::int64_t rows, at::ScalarType weight) {
  // Beyond, one conversion and sgemm cost less.
  return rows <= (weight == at::kChar ? 8 : 4);
}

RowInput::RowInput(at::ScalarType weight, std::int64_t rows, std::int64_t in) : weight_(weight), rows_(rows), in_(in) {
  const auto values = static_cast<std::size_t>(rows * in);
  if (weight != at::kChar) {
    wide_ = std::make_unique_for_overwrite<float[]>(values);
    return;
  }
  whole_ = std::make_unique_for_overwrite<std::int16_t[]>(values);
  scales_ = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(rows));
}

void RowInput::set(const float* rows) {
  const RowKernels& kernel = row_kernels();
  for (std::int64_t row = 0; row < rows_; ++row) {
    const float* from = rows + row * in_;
    if (weight_ == at::kChar) scales_[static_cast<std::size_t>(row)] = kernel.round_i16(from, whole_.get() + row * in_, in_);
    else if (weight_ == at::kBFloat16) kernel.pair_up(from, wide_.get() + row * in_, in_);
    else std::copy_n(from, in_, wide_.get() + row * in_);
  }
}

void RowInput::multiply(const RowWeight& weight, std::int64_t first, std::int64_t count, float* out, std::int64_t stride) const {
  const RowKernels& kernel = row_kernels();
  const std::int64_t block = rows_ == 1 ? count : 16;  // rows of weights that stay in cache for the next row of x
  for (std::int64_t done = 0; done < count; done += block) {
    const std::int64_t begin = first + done, some = std::min(block, count - done);
    for (std::int64_t row = 0; row < rows_; ++row) {
      const float* x = wide_.get() + row * in_;
      float* to = out + row * stride + begin;
      if (weight_ == at::kFloat) kernel.matvec_f32(static_cast<const float*>(weight.values) + begin * in_, x, to, some, in_);
      else if (weight_ == at::kBFloat16) kernel.matvec_bf16(static_cast<const std::uint16_t*>(weight.values) + begin * in_, x, to, some, in_);
      else if (weight_ == at::kHalf) kernel.matvec_f16(static_cast<const std::uint16_t*>(weight.values) + begin * in_, x, to, some, in_);
      else
        kernel.matvec_i8(static_cast<const std::int8_t*>(weight.values) + begin * in_, weight.scales + begin, whole_.get() + row * in_,
                         scales_[static_cast<std::size_t>(row)], to, some, in_);
    }
  }
}

void for_each_member(std::int64_t members, const std::function<void(std::int64_t member)>& work) {
  std::atomic<std::int64_t> joined = 0;
  at::parallel_for(0, members, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) work(joined.fetch_add(1));
  });
}

void warm(const RowWeight& weight, std::int64_t row) {
  const auto* from = static_cast<const char*>(weight.values) + row * weight.in * static_cast<std::int64_t>(c10::elementSize(weight.dtype));
  for (int line = 0; line < 16; ++line) __builtin_prefetch(from + 64 * line);
}

std::int64_t Shares::worth(std::span<const RowWeight> weights) {
  constexpr std::int64_t kLeast = 1 << 15;  // numbers that are worth a thread
  std::int64_t numbers = 0;
  for (const RowWeight& weight : weights) numbers += weight.out * weight.in;
  return at::in_parallel_region() ? 1 : std::clamp<std::int64_t>(numbers / kLeast, 1, at::get_num_threads());
}

std::vector<at::Tensor> few_rows_each(const RowInput& input, at::ScalarType dtype, std::span<const RowWeight> weights) {
  std::vector<at::Tensor> results;
  std::vector<float*> targets;  // asked for once: for a small share that would cost much of its product
  for (const RowWeight& weight : weights) {
    results.push_back(at::empty({input.rows(), weight.out}, at::kFloat));
    targets.push_back(results.back().mutable_data_ptr<float>());
  }
  const std::int64_t threads = Shares::worth(weights);
  Shares shares(weights, threads);
  for_each_member(threads, [&](std::int64_t member) {
    shares.take(member, [&](std::size_t which, std::int64_t first, std::int64_t count) {
      input.multiply(weights[which], first, count, targets[which], weights[which].out);
    });
  });
  for (at::Tensor& result : results) result = result.to(dtype);
  return results;
}

std::vector<at::Tensor> few_rows_each(const at::Tensor& x, std::span<const RowWeight> weights) {
  const at::Tensor wide = x.to(at::kFloat).contiguous();
  RowInput input(weights.front().dtype, wide.size(0), wide.size(1));
  input.set(wide.const_data_ptr<float>());
  return few_rows_each(input, x.scalar_type(), weights);
}

std::vector<at::Tensor> with_biases(std::vector<at::Tensor> products, std::span<const at::Tensor> biases) {
  for (std::size_t i = 0; i < products.size(); ++i)
    if (biases[i].defined()) products[i].add_(biases[i]);
  return products;
}

}  // namespace uio::kernels
