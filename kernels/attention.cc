// Ladder: (1) reference: all scores of all parts side by side, one softmax. (2) shipped on the CPU for bf16: LibTorch's blocked flash
// attention on each part where it lies, merged by log-sum-exp; no [T, S] matrix, no joined keys. (3) shipped on the CPU for f32: one
// running softmax over blocks of keys of all parts (attention_blocks.cc); blocks that no query of a block sees are skipped, where (2)
// computes them: 46 GFLOP/s of useful work in (2) for 1024 causal tokens on a core whose products run at 92.
#include "kernels/attention.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>

#include <limits>
#include <vector>

#include "kernels/attention_blocks.h"
#include "kernels/policy.h"

namespace uio::kernels {
namespace {

// Boolean [T, S] of what a part's queries see, or undefined for all of it.
at::Tensor visibility(const AttentionPart& part) {
  if (part.visible == Visible::kMask) return part.mask;
  if (part.visible == Visible::kCausal)
    return at::ones({part.queries.size(2), part.keys.size(2)}, part.queries.options().dtype(at::kBool)).tril();
  return {};
}

struct Partial {
  at::Tensor out;  // [B, H, T, d]
  at::Tensor lse;  // [B, H, T] f32, natural log
};

Partial flash(const AttentionPart& part, double scale) {
  std::optional<at::Tensor> mask;
  if (part.visible == Visible::kMask) {
    const auto wide = at::zeros(part.mask.sizes(), part.queries.options().dtype(part.queries.scalar_type()));
    mask = wide.masked_fill(part.mask.logical_not(), -std::numeric_limits<float>::infinity()).unsqueeze(0).unsqueeze(0);
  }
  auto [out, lse] = at::_scaled_dot_product_flash_attention_for_cpu(part.queries, part.keys, part.values, 0.0,
                                                                    part.visible == Visible::kCausal, mask, scale);
  if (part.visible == Visible::kMask) {
    // A row that sees nothing comes back as 0 with log-sum-exp 0; to the merge it must weigh nothing. Not −inf: two such parts in a row
    // would be −inf − −inf.
    const at::Tensor sees = part.mask.any(1);
    if (!sees.all().item<bool>()) lse = lse.masked_fill(sees.logical_not(), -1e30);
  }
  return {out, lse};
}

}  // namespace

at::Tensor attention_reference(std::span<const AttentionPart> parts, double scale) {
  const at::Tensor& first = parts.front().queries;
  const std::int64_t batch = first.size(0), heads = first.size(1), count = first.size(2), size = first.size(3);
  std::vector<at::Tensor> scores, values;
  for (const AttentionPart& part : parts) {
    const std::int64_t groups = part.keys.size(1);
    const auto wide = first.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor q = part.queries.reshape({batch, groups, heads / groups * count, size}).to(wide);
    at::Tensor score = at::matmul(q, part.keys.to(wide).transpose(-1, -2)).mul(scale).reshape({batch, heads, count, part.keys.size(2)});
    if (const at::Tensor sees = visibility(part); sees.defined())
      score = score.masked_fill(sees.logical_not(), -std::numeric_limits<double>::infinity());
    scores.push_back(score);
    values.push_back(part.values.to(wide));
  }
  const at::Tensor weights = at::softmax(at::cat(scores, -1), -1);
  const at::Tensor value = at::cat(values, 2);
  const std::int64_t groups = value.size(1);
  const at::Tensor out =
      at::matmul(weights.reshape({batch, groups, heads / groups * count, value.size(2)}), value).reshape({batch, heads, count, size});
  return out.to(first.scalar_type()).transpose(1, 2).contiguous().transpose(1, 2);
}

bool needs_gradient(std::span<const AttentionPart> parts) {
  if (!at::GradMode::is_enabled()) return false;
  for (const AttentionPart& part : parts)
    if (part.queries.requires_grad() || part.keys.requires_grad() || part.values.requires_grad()) return true;
  return false;
}

at::Tensor attention(std::span<const AttentionPart> parts, double scale) {
  const at::Tensor& first = parts.front().queries;
  const bool has_flash = first.device().is_cpu() && (first.scalar_type() == at::kFloat || first.scalar_type() == at::kBFloat16);
  if (is_reference_forced() || !has_flash || needs_gradient(parts)) return attention_reference(parts, scale);

  if (first.scalar_type() == at::kFloat) return attention_blocks(parts, scale);
  Partial total = flash(parts.front(), scale);
  for (const AttentionPart& part : parts.subspan(1)) {
    const Partial next = flash(part, scale);
    const at::Tensor lse = at::logaddexp(total.lse, next.lse);
    total.out = total.out.mul((total.lse - lse).exp().unsqueeze(-1)) + next.out.mul((next.lse - lse).exp().unsqueeze(-1));
    total.lse = lse;
  }
  return total.out.to(first.scalar_type());
}

}  // namespace uio::kernels
