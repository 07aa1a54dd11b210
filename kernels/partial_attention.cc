#include "kernels/partial_attention.h"

#include <ATen/ATen.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>

#include <tuple>

#include "kernels/device_kernels.h"

namespace uio::kernels {
namespace {

// On heads that are as many as the keys'.
PartialAttention whole_heads(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values, bool is_causal,
                             double scale) {
  if (queries.device().is_cpu()) {
    auto [out, lse] =
        at::_scaled_dot_product_flash_attention_for_cpu(queries, keys, values, 0.0, is_causal, std::nullopt, scale);
    return {out, lse};
  }
  if (queries.scalar_type() == at::kFloat) {
    const auto found =
        at::_scaled_dot_product_efficient_attention(queries, keys, values, std::nullopt, true, 0.0, is_causal, scale);
    return {std::get<0>(found), std::get<1>(found)};
  }
  const auto found = at::_scaled_dot_product_flash_attention(queries, keys, values, 0.0, is_causal, false, scale);
  return {std::get<0>(found), std::get<1>(found)};
}

}  // namespace

bool has_partial_attention(const AttentionPart& part) {
  const auto dtype = part.queries.scalar_type();
  const std::int64_t size = part.queries.size(3), count = part.queries.size(2), heads = part.queries.size(1),
                     groups = part.keys.size(1);
  // As many keys as queries: of fewer or more LibTorch's kernels differ in which they call causal.
  if (part.visible == Visible::kMask || (part.visible == Visible::kCausal && part.keys.size(2) != count)) return false;
  if (part.values.size(3) != size || part.keys.size(3) != size || part.keys.scalar_type() != dtype ||
      part.values.scalar_type() != dtype)
    return false;
  if (part.queries.numel() == 0 || part.keys.numel() == 0 || heads % groups != 0) return false;
  if (part.queries.device().is_cpu()) return has_number(dtype);
  return dtype == at::kFloat ? size % 4 == 0 : (dtype == at::kBFloat16 || dtype == at::kHalf) && size % 8 == 0 && size <= 256;
}

PartialAttention partial_attention(const AttentionPart& part, double scale) {
  const std::int64_t batch = part.queries.size(0), heads = part.queries.size(1), count = part.queries.size(2),
                     size = part.queries.size(3), groups = part.keys.size(1), shared = heads / groups;
  const auto dense = [](const at::Tensor& x) { return x.stride(3) == 1 ? x : x.contiguous(); };
  const at::Tensor queries = dense(part.queries), keys = dense(part.keys), values = dense(part.values);
  const bool is_causal = part.visible == Visible::kCausal;
  PartialAttention found;
  if (shared == 1) {
    found = whole_heads(queries, keys, values, is_causal, scale);
  } else if (!is_causal) {
    // Queries that share keys become more queries of one head: the keys are read once.
    found = whole_heads(queries.reshape({batch, groups, shared * count, size}), keys, values, false, scale);
    found = {found.out.reshape({batch, heads, count, size}),
             found.lse.narrow(2, 0, shared * count).reshape({batch, heads, count})};
  } else {
    const auto repeated = [&](const at::Tensor& x) {
      return x.unsqueeze(2).expand({batch, groups, shared, count, size}).reshape({batch, heads, count, size});
    };
    found = whole_heads(queries, repeated(keys), repeated(values), true, scale);
  }
  return {dense(found.out), found.lse.narrow(2, 0, count)};  // some kernels pad the rows of the log-sum-exp
}

at::Tensor merged(const CudaKernels& device, std::span<const PartialAttention> partials) {
  const at::Tensor& first = partials.front().out;
  const std::int64_t batch = first.size(0), heads = first.size(1), rows = first.size(2), size = first.size(3);
  if (partials.size() == 1) return first.transpose(1, 2).contiguous().transpose(1, 2);
  if (!has_number(first.scalar_type())) {
    std::vector<at::Tensor> lses;
    for (const PartialAttention& partial : partials) lses.push_back(partial.lse);
    const at::Tensor shares = at::softmax(at::stack(lses, -1), -1);
    at::Tensor sum;
    for (std::size_t i = 0; i < partials.size(); ++i) {
      const at::Tensor weighed = partials[i].out * shares.narrow(-1, static_cast<std::int64_t>(i), 1);
      sum = i == 0 ? weighed : sum + weighed;
    }
    return sum.to(first.scalar_type()).transpose(1, 2).contiguous().transpose(1, 2);
  }
  const at::Tensor out = at::empty({batch, rows, heads, size}, first.options());
  MergeJob job{
      {}, {}, {}, {}, static_cast<int>(partials.size()), batch, heads, rows, size, out.mutable_data_ptr(), number_of(first)};
  for (std::size_t p = 0; p < partials.size(); ++p) {
    job.partials[p] = partials[p].out.const_data_ptr();
    job.lses[p] = partials[p].lse.const_data_ptr<float>();
    for (int i = 0; i < 3; ++i)
      job.strides[p][i] = partials[p].out.stride(i), job.lse_strides[p][i] = partials[p].lse.stride(i);
  }
  launch("merge", device.merge, job, first);
  return out.transpose(1, 2);
}

}  // namespace uio::kernels
