// Ladder: (1) reference: all scores of all parts side by side, one softmax. (2) shipped on the CPU for several queries in bf16: LibTorch's blocked flash
// attention on each part where it lies, merged by log-sum-exp; no [T, S] matrix, no joined keys. (3) shipped on the CPU for f32, and for
// one query in bf16: one running softmax over blocks of keys of all parts (attention_blocks.cc); blocks that no query of a block sees are skipped, where (2)
// computes them: 46 GFLOP/s of useful work in (2) for 1024 causal tokens on a core whose products run at 92. Its gradient computes the
// blocks of weights anew from the log-sum-exp (attention_slopes.cc); that of (2) is (1)'s. (4) on a CUDA device, without masks: as (2),
// with LibTorch's flash attention for bf16 and f16, its memory-efficient one for f32, merged by cuda/merge.h; its gradient is that of (1), computed
// anew in the backward pass: scores live no longer than it takes.
#include "kernels/attention.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/attention_blocks.h"
#include "kernels/attention_slopes.h"
#include "kernels/device_kernels.h"
#include "kernels/gradient.h"
#include "kernels/partial_attention.h"
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

PartialAttention flash(const AttentionPart& part, double scale) {
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

// What each part's queries see. autograd follows tensors that are arguments themselves, so they come one by one.
struct Sight {
  std::vector<Visible> visible;
  std::vector<at::Tensor> masks;  // undefined where there is none
  double scale;
  bool is_by_device;  // computed by parts on a device, as (4)
};

// The parts by LibTorch's kernels, merged by the device's.
at::Tensor by_device(const CudaKernels& device, std::span<const AttentionPart> parts, double scale) {
  std::vector<PartialAttention> partials;
  for (const AttentionPart& part : parts) partials.push_back(partial_attention(part, scale));
  return merged(device, partials);
}

bool fits_device(const CudaKernels* device, std::span<const AttentionPart> parts) {
  return device && device->merge && static_cast<int>(parts.size()) <= kMostPartials && std::ranges::all_of(parts, has_partial_attention);
}

// Gradients of queries, keys and values of each part in turn, from the plain composition.
torch::autograd::variable_list plain_slopes(std::vector<AttentionPart> parts, double scale, const at::Tensor& slope) {
  const at::AutoGradMode recorded(true);
  torch::autograd::variable_list leaves;
  for (AttentionPart& part : parts)
    for (at::Tensor* tensor : {&part.queries, &part.keys, &part.values}) leaves.push_back(*tensor = tensor->detach().requires_grad_(true));
  return torch::autograd::grad({attention_reference(parts, scale)}, leaves, {slope});
}

class Attend : public torch::autograd::Function<Attend> {
 public:
  // Queries, keys and values of each part in turn.
  template <typename... Tensors>
  static at::Tensor forward(torch::autograd::AutogradContext* context, const Sight& sight, const Tensors&... tensors) {
    torch::autograd::variable_list saved = {tensors...};
    const std::vector<AttentionPart> parts = assemble(sight.visible, saved, sight.masks);
    at::Tensor lse, out = sight.is_by_device ? by_device(*device_kernels(saved[0]), parts, sight.scale) : attention_blocks(parts, sight.scale, &lse);
    saved.insert(saved.end(), sight.masks.begin(), sight.masks.end());
    saved.insert(saved.end(), {out, lse});
    context->save_for_backward(std::move(saved));
    std::vector<std::int64_t> visible;
    for (const Visible one : sight.visible) visible.push_back(static_cast<std::int64_t>(one));
    context->saved_data["visible"] = visible;
    context->saved_data["scale"] = sight.scale;
    context->saved_data["is_by_device"] = sight.is_by_device;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list slopes) {
    torch::autograd::variable_list saved = context->get_saved_variables();
    std::vector<Visible> visible;
    for (const std::int64_t one : context->saved_data["visible"].toIntVector()) visible.push_back(static_cast<Visible>(one));
    const std::size_t count = visible.size();
    std::vector<WantedSlopes> wanted;
    for (std::size_t i = 0; i < count; ++i)
      wanted.push_back({context->needs_input_grad(3 * i), context->needs_input_grad(3 * i + 1), context->needs_input_grad(3 * i + 2)});
    const std::vector<at::Tensor> masks(saved.begin() + static_cast<std::ptrdiff_t>(3 * count), saved.end() - 2);
    const std::vector<AttentionPart> parts = assemble(visible, saved, masks);
    const double scale = context->saved_data["scale"].toDouble();
    torch::autograd::variable_list out = {{}};
    if (context->saved_data["is_by_device"].toBool()) {
      const torch::autograd::variable_list plain = plain_slopes(parts, scale, slopes[0]);
      out.insert(out.end(), plain.begin(), plain.end());
      return out;
    }
    const std::vector<PartSlopes> found = attention_slopes(parts, scale, saved[4 * count], saved[4 * count + 1], slopes[0], wanted);
    for (const PartSlopes& part : found) out.insert(out.end(), {part.queries, part.keys, part.values});
    return out;
  }

 private:
  static std::vector<AttentionPart> assemble(const std::vector<Visible>& visible, const torch::autograd::variable_list& tensors,
                                             const std::vector<at::Tensor>& masks) {
    std::vector<AttentionPart> parts;
    for (std::size_t i = 0; i < visible.size(); ++i)
      parts.push_back({tensors[3 * i], tensors[3 * i + 1], tensors[3 * i + 2], visible[i], masks[i]});
    return parts;
  }
};

constexpr std::size_t kMostRecorded = 4;  // parts; what our methods need at once, and one more

template <std::size_t... Index>
at::Tensor attend(const Sight& sight, const std::vector<at::Tensor>& tensors, std::index_sequence<Index...>) {
  return Attend::apply(sight, tensors[Index]...);
}

at::Tensor attention_recorded(std::span<const AttentionPart> parts, double scale, bool is_by_device) {
  Sight sight{{}, {}, scale, is_by_device};
  std::vector<at::Tensor> tensors;
  for (const AttentionPart& part : parts) {
    sight.visible.push_back(part.visible);
    sight.masks.push_back(part.visible == Visible::kMask ? part.mask : at::Tensor());
    tensors.insert(tensors.end(), {part.queries, part.keys, part.values});
  }
  switch (parts.size()) {
    case 1:
      return attend(sight, tensors, std::make_index_sequence<3>());
    case 2:
      return attend(sight, tensors, std::make_index_sequence<6>());
    case 3:
      return attend(sight, tensors, std::make_index_sequence<9>());
    default:
      return attend(sight, tensors, std::make_index_sequence<3 * kMostRecorded>());
  }
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

at::Tensor attention(std::span<const AttentionPart> parts, double scale) {
  const at::Tensor& first = parts.front().queries;
  const auto dtype = first.scalar_type();
  const bool has_flash = first.device().is_cpu() && (dtype == at::kFloat || dtype == at::kBFloat16);
  bool is_traced = false;
  for (const AttentionPart& part : parts) is_traced = is_traced || is_recorded(part.queries, part.keys, part.values);
  const bool has_gradient = dtype == at::kFloat && parts.size() <= kMostRecorded;
  if (const CudaKernels* device = device_kernels(first); fits_device(device, parts)) {
    if (!is_traced) return by_device(*device, parts, scale);
    if (parts.size() <= kMostRecorded) return attention_recorded(parts, scale, true);
    return attention_reference(parts, scale);
  }
  if (is_reference_forced() || !has_flash || (is_traced && !has_gradient)) return attention_reference(parts, scale);

  if (is_traced) return attention_recorded(parts, scale, false);
  // LibTorch's kernel reads the keys of one query at a tenth of the rate of memory.
  if (dtype == at::kFloat || first.size(2) == 1) return attention_blocks(parts, scale);
  PartialAttention total = flash(parts.front(), scale);
  for (const AttentionPart& part : parts.subspan(1)) {
    const PartialAttention next = flash(part, scale);
    const at::Tensor lse = at::logaddexp(total.lse, next.lse);
    total.out = total.out.mul((total.lse - lse).exp().unsqueeze(-1)) + next.out.mul((next.lse - lse).exp().unsqueeze(-1));
    total.lse = lse;
  }
  return total.out.to(first.scalar_type());
}

}  // namespace uio::kernels
