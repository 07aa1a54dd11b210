// Ladder: (1) plain: per chunk of rows a product, log-softmax, its gradient, two products; any device and float dtype. (2)
// shipped on the CPU for f32: the products by tiles of fixed size, each by one thread, and two passes over a row of logits that
// turn it into its own gradient (rows.h). (3) on a CUDA device: (1) with those two passes in one kernel (cuda/loss_rows.h).
#include "kernels/cross_entropy.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/device_kernels.h"
#include "kernels/gradient.h"
#include "kernels/linear.h"
#include "kernels/policy.h"
#include "kernels/products.h"
#include "kernels/rows.h"

namespace uio::kernels {
namespace {

constexpr std::int64_t kLogits = std::int64_t{8} << 20;      // logits of a chunk: 32 MB of f32
constexpr std::int64_t kMostRows = 2048, kFewestRows = 64;   // … but not more rows, and not fewer
constexpr std::int64_t kTileRows = 128, kTileColumns = 256;  // of a product's result, by one thread
constexpr std::int64_t kTileWords = 1024;                    // columns of logits: rows of the head

// What is wanted of the rows: the words that follow, or a teacher's distribution.
struct Aim {
  at::Tensor targets;                     // [R], else undefined
  at::Tensor teacher_rows, teacher_head;  // [R, Dt], [V, Dt], else undefined
  at::Tensor weights;                     // [R] f64 on the CPU
};

struct Answer {
  at::Tensor loss;                    // scalar f64
  at::Tensor values;                  // [R]: log-probabilities, or divergences
  at::Tensor rows_slope, head_slope;  // where wanted
};

std::int64_t chunk_rows(std::int64_t vocabulary) {
  return std::clamp(kLogits / std::max<std::int64_t>(vocabulary, 1) / kFewestRows * kFewestRows, kFewestRows, kMostRows);
}

// out [m, n] = a b + keep · out by tiles; b [k, n].
void multiply_tiled(std::int64_t m, std::int64_t n, std::int64_t k, Factor a, Factor b, float keep, float* out,
                    std::int64_t tile_rows, std::int64_t tile_columns) {
  const std::int64_t across = (n + tile_columns - 1) / tile_columns, down = (m + tile_rows - 1) / tile_rows;
  at::parallel_for(0, across * down, 1, [&](std::int64_t begin, std::int64_t end) {
    const SequentialProducts sequential;
    for (std::int64_t tile = begin; tile < end; ++tile) {
      const std::int64_t row = tile % down * tile_rows, column = tile / down * tile_columns;
      const Factor here{a.data + (a.transposed ? row : row * a.stride), a.stride, a.transposed};
      const Factor there{b.data + (b.transposed ? column * b.stride : column), b.stride, b.transposed};
      multiply(std::min(tile_rows, m - row), std::min(tile_columns, n - column), k, 1, here, there, keep,
               out + row * n + column, n);
    }
  });
}

// f32 on the CPU; rows, head, teacher's rows and head f32 and contiguous.
Answer compute_fast(const at::Tensor& rows, const at::Tensor& head, const Aim& aim, bool wants_rows, bool wants_head) {
  const std::int64_t count = rows.size(0), size = rows.size(1), vocabulary = head.size(0),
                     at_once = std::min(count, chunk_rows(vocabulary));
  const bool is_soft = aim.teacher_rows.defined(), wants_slopes = wants_rows || wants_head;
  Answer answer{at::zeros({}, at::kDouble), at::empty({count}, rows.options()),
                wants_rows ? at::empty_like(rows) : at::Tensor(), wants_head ? at::zeros_like(head) : at::Tensor()};
  const at::Tensor scratch = at::empty({at_once, vocabulary}, rows.options());
  const at::Tensor teacher_scratch = is_soft ? at::empty({at_once, vocabulary}, rows.options()) : at::Tensor();
  float *logits = scratch.mutable_data_ptr<float>(), *teacher = is_soft ? teacher_scratch.mutable_data_ptr<float>() : nullptr;
  const double* weights = aim.weights.const_data_ptr<double>();
  const std::int64_t* targets = is_soft ? nullptr : aim.targets.const_data_ptr<std::int64_t>();
  std::vector<double> values(static_cast<std::size_t>(count));
  const RowKernels& kernel = row_kernels();

  for (std::int64_t first = 0; first < count; first += at_once) {
    const std::int64_t here = std::min(at_once, count - first);
    const Factor x{rows.const_data_ptr<float>() + first * size, size}, words{head.const_data_ptr<float>(), size};
    multiply_tiled(here, vocabulary, size, x, {words.data, size, true}, 0, logits, kTileRows, kTileWords);
    if (is_soft) {
      const std::int64_t wide = aim.teacher_rows.size(1);
      multiply_tiled(here, vocabulary, wide, {aim.teacher_rows.const_data_ptr<float>() + first * wide, wide},
                     {aim.teacher_head.const_data_ptr<float>(), wide, true}, 0, teacher, kTileRows, kTileWords);
    }
    at::parallel_for(0, here, std::max<std::int64_t>(1, 32768 / vocabulary), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        float* line = logits + row * vocabulary;
        const auto at = static_cast<std::size_t>(first + row);
        const auto weight = static_cast<float>(weights[first + row]);
        if (is_soft)
          values[at] = kernel.divergence_slope(line, teacher + row * vocabulary, vocabulary, weight);
        else if (wants_slopes)
          values[at] = static_cast<double>(kernel.softmax_slope(line, vocabulary, targets[first + row], weight));
        else
          values[at] = static_cast<double>(line[targets[first + row]] - kernel.log_sum_exp(line, vocabulary));
      }
    });
    if (wants_rows)
      multiply_tiled(here, size, vocabulary, {logits, vocabulary}, words, 0,
                     answer.rows_slope.mutable_data_ptr<float>() + first * size, kTileRows, kTileColumns);
    if (wants_head)
      multiply_tiled(vocabulary, size, here, {logits, vocabulary, true}, x, 1, answer.head_slope.mutable_data_ptr<float>(),
                     kTileColumns, kTileColumns);
  }
  double loss = 0;
  for (std::int64_t row = 0; row < count; ++row) {
    const double value = values[static_cast<std::size_t>(row)];
    answer.values.mutable_data_ptr<float>()[row] = static_cast<float>(value);
    loss += weights[row] * (is_soft ? value : -value);
  }
  answer.loss.fill_(loss);
  return answer;
}

Answer compute_plain(const at::Tensor& rows, const at::Tensor& head, const Aim& aim, bool wants_rows, bool wants_head) {
  const std::int64_t count = rows.size(0), at_once = chunk_rows(head.size(0));
  const auto wide = rows.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const bool is_soft = aim.teacher_rows.defined(), wants_slopes = wants_rows || wants_head;
  const CudaKernels* device = device_kernels(rows);
  const bool has_kernel = device && device->loss_rows && !is_soft && wide == at::kFloat;
  const at::Tensor words = head.to(rows.scalar_type());
  Answer answer{at::zeros({}, at::kDouble), at::empty({count}, rows.options().dtype(wide)),
                wants_rows ? at::empty_like(rows) : at::Tensor(),
                wants_head ? at::zeros(head.sizes(), rows.options().dtype(wide)) : at::Tensor()};
  for (std::int64_t first = 0; first < count; first += at_once) {
    const std::int64_t here = std::min(at_once, count - first);
    const at::Tensor x = rows.narrow(0, first, here);
    const at::Tensor weights = aim.weights.narrow(0, first, here).to(rows.device(), wide).unsqueeze(1);
    at::Tensor slope = at::linear(x, words).to(wide), values;
    if (has_kernel) {
      slope = slope.contiguous();
      values = at::empty({here}, slope.options());
      launch("loss_rows", device->loss_rows,
             {slope.mutable_data_ptr<float>(), aim.targets.const_data_ptr<std::int64_t>() + first, wants_slopes ? weights.const_data_ptr<float>() : nullptr,
              values.mutable_data_ptr<float>(), here, slope.size(1)},
             slope);
    } else {
      const at::Tensor log_shares = at::log_softmax(slope, -1);
      slope = log_shares.exp();
      if (is_soft) {
        const at::Tensor wanted =
            at::log_softmax(linear_reference(aim.teacher_rows.narrow(0, first, here), aim.teacher_head).to(wide), -1);
        values = (wanted.exp() * (wanted - log_shares)).sum(1);
        slope.sub_(wanted.exp());
      } else {
        const at::Tensor wanted = aim.targets.narrow(0, first, here).unsqueeze(1);
        values = log_shares.gather(1, wanted).squeeze(1);
        slope.scatter_add_(1, wanted, at::full_like(weights, -1));
      }
      slope.mul_(weights);
    }
    answer.values.narrow(0, first, here).copy_(values);
    if (wants_rows) answer.rows_slope.narrow(0, first, here).copy_(at::matmul(slope.to(rows.scalar_type()), words));
    if (wants_head) answer.head_slope.addmm_(slope.t(), x.to(wide));
  }
  answer.loss = (answer.values.to(at::kCPU, at::kDouble) * aim.weights).sum();
  if (!is_soft) answer.loss.neg_();
  return answer;
}

// All rows weigh something.
Answer compute_weighed(const at::Tensor& rows, const at::Tensor& head, const Aim& aim, bool wants_rows, bool wants_head) {
  if (!is_reference_forced() && !device_kernels(rows) && rows.device().is_cpu() && rows.scalar_type() == at::kFloat) {
    const auto plain = [](const at::Tensor& x) { return x.defined() ? x.to(at::kFloat).contiguous() : x; };
    return compute_fast(rows.contiguous(), plain(head),
                        {aim.targets, plain(aim.teacher_rows), plain(aim.teacher_head), aim.weights}, wants_rows, wants_head);
  }
  return compute_plain(rows, head, aim, wants_rows, wants_head);
}

Answer compute(const at::Tensor& rows, const at::Tensor& head, const Aim& aim, bool wants_rows, bool wants_head) {
  const at::Tensor kept = aim.weights.nonzero().squeeze(1);
  const std::int64_t count = rows.size(0);
  if (kept.size(0) == count) return compute_weighed(rows, head, aim, wants_rows, wants_head);
  const at::Tensor there = kept.to(rows.device());
  const auto chosen = [&](const at::Tensor& x) { return x.defined() ? x.index_select(0, there) : x; };
  Answer answer = compute_weighed(
      chosen(rows), head, {chosen(aim.targets), chosen(aim.teacher_rows), aim.teacher_head, aim.weights.index_select(0, kept)},
      wants_rows, wants_head);
  answer.values = at::zeros({count}, answer.values.options()).index_copy_(0, there, answer.values);
  if (wants_rows) answer.rows_slope = at::zeros(rows.sizes(), rows.options()).index_copy_(0, there, answer.rows_slope);
  return answer;
}

class Loss : public torch::autograd::Function<Loss> {
 public:
  // Loss and values.
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& rows,
                                                const at::Tensor& head, const Aim& aim) {
    const Answer answer = compute(rows, head, aim, rows.requires_grad(), head.requires_grad());
    context->save_for_backward(
        {answer.rows_slope, answer.head_slope.defined() ? answer.head_slope.to(head.scalar_type()) : at::Tensor()});
    context->mark_non_differentiable({answer.values});
    return {answer.loss.to(rows.device(), answer.values.scalar_type()), answer.values};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list slopes) {
    const auto saved = context->get_saved_variables();
    const auto scaled = [&](const at::Tensor& x) { return x.defined() ? x * slopes[0].to(x.scalar_type()) : x; };
    return {scaled(saved[0]), scaled(saved[1]), {}};
  }
};

CrossEntropy run(const at::Tensor& rows, const at::Tensor& head, const Aim& aim) {
  if (is_recorded(rows, head)) {
    const auto out = Loss::apply(rows, head, aim);
    return {out[0], out[1]};
  }
  const Answer answer = compute(rows.detach(), head.detach(), aim, false, false);
  return {answer.loss.to(rows.device(), answer.values.scalar_type()), answer.values};
}

void check(bool fits, const char* which) {
  if (!fits) throw Error(ErrorKind::kInternal, "cross-entropy of tensors that do not fit", which, "shapes differ");
}

at::Tensor counted(const at::Tensor& weights) { return weights.detach().to(at::kCPU, at::kDouble).contiguous(); }

}  // namespace

CrossEntropy cross_entropy(const at::Tensor& rows, const at::Tensor& head, const at::Tensor& targets,
                           const at::Tensor& weights) {
  check(rows.dim() == 2 && head.dim() == 2 && rows.size(1) == head.size(1), "head");
  check(targets.dim() == 1 && targets.size(0) == rows.size(0) && targets.scalar_type() == at::kLong, "targets");
  check(weights.dim() == 1 && weights.size(0) == rows.size(0), "weights");
  const Aim aim{targets.to(rows.device()).contiguous(), {}, {}, counted(weights)};
  const at::Tensor wanted = targets.to(at::kCPU).index_select(0, aim.weights.nonzero().squeeze(1));
  if (wanted.numel() > 0) {
    const std::int64_t low = wanted.min().item<std::int64_t>(), high = wanted.max().item<std::int64_t>();
    if (low < 0 || high >= head.size(0))
      throw Error(ErrorKind::kMismatch, "token outside the model's vocabulary", std::to_string(low < 0 ? low : high),
                  "the model has " + std::to_string(head.size(0)) + " tokens");
  }
  return run(rows, head, aim);
}

at::Tensor cross_entropy_soft(const at::Tensor& rows, const at::Tensor& head, const at::Tensor& teacher_rows,
                              const at::Tensor& teacher_head, const at::Tensor& weights) {
  check(rows.dim() == 2 && head.dim() == 2 && rows.size(1) == head.size(1), "head");
  check(teacher_rows.dim() == 2 && teacher_head.dim() == 2 && teacher_rows.size(1) == teacher_head.size(1), "teacher's head");
  check(teacher_rows.size(0) == rows.size(0) && teacher_head.size(0) == head.size(0), "teacher");
  check(weights.dim() == 1 && weights.size(0) == rows.size(0), "weights");
  return run(rows, head, {{}, teacher_rows.detach(), teacher_head.detach(), counted(weights)}).loss;
}

}  // namespace uio::kernels
