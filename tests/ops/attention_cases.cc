// Attention over parts: memory, local text, masks, in every combination that the methods make and some that they do not.
#include <ATen/ATen.h>

#include <limits>

#include "kernels/attention.h"
#include "ops/op_table.h"
#include "unit/kernels/compare.h"

namespace uio::ops {
namespace {

using kernels::AttentionPart;
using kernels::Visible;
using test::normal;
using test::random_mask;

constexpr double kScale = 0.3;

struct Shape {
  std::int64_t batch, heads, groups, count, size;
};
// Odd ones; one query; grouped heads; more than one block of queries (128).
constexpr Shape kShapes[] = {{1, 1, 1, 1, 8}, {1, 4, 4, 5, 16}, {2, 4, 2, 7, 12}, {1, 6, 1, 9, 10}, {3, 8, 2, 1, 32}, {1, 2, 1, 131, 32}};

struct Keys {
  std::int64_t count;
  Visible visible;
  at::Tensor mask;  // where visible is kMask
};

// Queries, keys and values of each part in turn.
Run run_attention(const std::vector<Keys>& parts) {
  return [=](const Tensors& in) {
    std::vector<AttentionPart> built;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const at::Tensor mask = parts[i].mask.defined() ? parts[i].mask.to(in[0].device()) : parts[i].mask;
      built.push_back({in[3 * i], in[3 * i + 1], in[3 * i + 2], parts[i].visible, mask});
    }
    return kernels::attention(built, kScale);
  };
}

// All scores side by side, −inf where nothing is seen; exponentials, their sum, the values.
Run slow_attention(const std::vector<Keys>& parts) {
  return [=](const Tensors& in) {
    Tensors scores, values;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const at::Tensor& queries = in[3 * i];
      const std::int64_t repeats = queries.size(1) / in[3 * i + 1].size(1);
      const at::Tensor keys = in[3 * i + 1].repeat_interleave(repeats, 1);
      at::Tensor score = kScale * at::matmul(queries, keys.transpose(2, 3));
      at::Tensor sees = parts[i].mask;
      if (parts[i].visible == Visible::kCausal) sees = at::ones({score.size(2), score.size(3)}, at::kBool).tril();
      if (parts[i].visible != Visible::kAll) score = score.masked_fill(sees.logical_not(), -std::numeric_limits<double>::infinity());
      scores.push_back(score);
      values.push_back(in[3 * i + 2].repeat_interleave(repeats, 1));
    }
    const at::Tensor all = at::cat(scores, 3), weights = (all - all.detach().amax(3, true)).exp();
    return at::matmul(weights / weights.sum(3, true), at::cat(values, 2));
  };
}

std::vector<Input> inputs_of(const Shape& shape, const std::vector<Keys>& parts, at::ScalarType dtype) {
  std::vector<Input> inputs;
  std::uint64_t seed = 1;
  const auto add = [&](const at::Tensor& x) { inputs.push_back({x.detach().requires_grad_(true), dtype}); };
  for (const Keys& part : parts) {
    add(2 * normal({shape.batch, shape.heads, shape.count, shape.size}, seed++));
    for (int i = 0; i < 2; ++i) add(normal({shape.batch, shape.groups, part.count, shape.size}, seed++));
  }
  return inputs;
}

void add_cases(OpCases& op, const Shape& shape, const std::string& what, const std::vector<Keys>& parts) {
  std::string name;
  for (const std::int64_t size : {shape.batch, shape.heads, shape.groups, shape.count, shape.size}) name += std::to_string(size) + " ";
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
    // With one key the weight is 1 and the gradients of query and key are 0 but for rounding: no matter of ratios.
    std::int64_t keys = 0;
    for (const Keys& part : parts) keys += part.count;
    const double slopes = dtype == at::kFloat && keys > 1 ? 1e-5 : 0;
    const char* type = dtype == at::kFloat ? "f32" : dtype == at::kBFloat16 ? "bf16" : "f64";
    // bfloat16 rounds the weights, each part and their sum.
    const double bound = dtype == at::kDouble ? 1e-27 : dtype == at::kFloat ? 1e-11 : 1e-4;
    op.cases.push_back({name + what + " " + type, [=] { return inputs_of(shape, parts, dtype); }, run_attention(parts), slow_attention(parts), bound, slopes});
  }
}

}  // namespace

OpCases attention_cases() {
  OpCases op{"attention", {}, {}};
  for (const Shape& shape : kShapes) {
    const Keys memory{20, Visible::kAll, {}}, text{shape.count, Visible::kCausal, {}}, few{3, Visible::kAll, {}};
    const Keys blind{6, Visible::kMask, at::zeros({shape.count, 6}, at::kBool)};
    at::Tensor mask = random_mask(shape.count, 13, 3, 0.4);
    mask.select(1, 4).fill_(true);  // each query sees something
    at::Tensor half = random_mask(shape.count, 6, 5, 0.5);
    half[0].fill_(false);
    const Keys masked{13, Visible::kMask, mask}, partly{6, Visible::kMask, half};
    add_cases(op, shape, "all keys", {{11, Visible::kAll, {}}});
    add_cases(op, shape, "more keys than a block has", {{300, Visible::kAll, {}}});
    add_cases(op, shape, "causal", {text});
    add_cases(op, shape, "a mask", {masked});
    if (shape.count > 1) add_cases(op, shape, "causal by a mask", {{shape.count, Visible::kMask, at::ones({shape.count, shape.count}, at::kBool).tril()}});
    add_cases(op, shape, "memory and text", {memory, text});
    add_cases(op, shape, "long memory and text", {{300, Visible::kAll, {}}, text});
    add_cases(op, shape, "two memories and text", {memory, {5, Visible::kAll, {}}, text});
    add_cases(op, shape, "three memories and text", {memory, {5, Visible::kAll, {}}, {1, Visible::kAll, {}}, text});
    add_cases(op, shape, "nothing seen of the first part by some", {partly, few});
    add_cases(op, shape, "nothing seen of the second part by some", {few, partly});
    add_cases(op, shape, "nothing seen of a part", {few, blind, partly});
    add_cases(op, shape, "nothing seen of the first two parts", {blind, blind, few});
  }
  const Shape small{1, 2, 1, 3, 2};
  at::Tensor mask = at::ones({3, 2}, at::kBool);
  mask[0].fill_(false);
  const std::vector<Keys> parts = {{2, Visible::kMask, mask}, {3, Visible::kCausal, {}}};
  op.cases.push_back({"1 2 1 3 2 a mask and text f64", [=] { return inputs_of(small, parts, at::kDouble); }, run_attention(parts), slow_attention(parts), 1e-27, 1e-9, true});

  // A segment with a memory before it, and one new token with a long memory.
  for (const auto& [shape, memory] : {std::pair<Shape, std::int64_t>{{1, 12, 12, 1024, 64}, 512}, {{1, 12, 12, 1, 64}, 16384}})
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const std::vector<Keys> timed = {{memory, Visible::kAll, {}}, {shape.count, Visible::kCausal, {}}};
      const auto width = static_cast<double>(shape.batch * shape.heads * shape.size), count = static_cast<double>(shape.count), keys = static_cast<double>(memory);
      op.costs.push_back({std::to_string(shape.count) + " queries, " + std::to_string(memory) + " memory tokens, 12 heads of 64 " + (dtype == at::kFloat ? "f32" : "bf16"),
                          [=, shape = shape] {
                            Tensors inputs;
                            for (const Input& input : inputs_of(shape, timed, dtype)) inputs.push_back(input.value.detach().to(dtype));
                            return inputs;
                          },
                          run_attention(timed), 2 * width * (keys + count) * static_cast<double>(c10::elementSize(dtype)),
                          4 * width * count * (keys + (count + 1) / 2), dtype});
    }
  return op;
}

}  // namespace uio::ops
