// Ops that are products with weights: linear, the losses of a head; and the quantised form of memories.
#include <ATen/ATen.h>

#include <cmath>

#include "io/quantise.h"
#include "kernels/cross_entropy.h"
#include "kernels/int8_linear.h"
#include "kernels/linear.h"
#include "kernels/policy.h"
#include "memory/memory_tensor.h"
#include "model/tensor.h"
#include "ops/op_table.h"
#include "unit/kernels/compare.h"

namespace uio::ops {
namespace {

using test::normal;
using test::tolerance;

at::Tensor leaf(const at::Tensor& x) { return x.detach().requires_grad_(true); }

std::string shape_name(std::initializer_list<std::int64_t> sizes) {
  std::string name;
  for (const std::int64_t size : sizes) name += (name.empty() ? "" : "x") + std::to_string(size);
  return name;
}

at::Tensor run_linear(const Tensors& in) { return kernels::linear(in[0], in[1], in[2]); }
at::Tensor slow_linear(const Tensors& in) { return (in[0].unsqueeze(1) * in[1].unsqueeze(0)).sum(-1) + in[2]; }

// x, whole numbers, their scales, bias.
at::Tensor run_int8_linear(const Tensors& in) { return kernels::linear(in[0], kernels::Int8Weight{in[1], in[2]}, in[3]); }
at::Tensor slow_int8_linear(const Tensors& in) { return slow_linear({in[0], in[1].to(at::kDouble) * in[2].unsqueeze(1), in[3]}); }

at::Tensor ids(std::int64_t count, std::int64_t vocabulary, std::uint64_t seed) {
  return (normal({count}, seed).abs() * 1e6).to(at::kLong).remainder(vocabulary);
}

at::Tensor log_shares(const at::Tensor& rows, const at::Tensor& head) {
  const at::Tensor logits = (rows.unsqueeze(1) * head.unsqueeze(0)).sum(-1), highest = logits.detach().amax(-1, true);
  return logits - highest - (logits - highest).exp().sum(-1, true).log();
}

// rows, head, targets, weights.
at::Tensor run_cross_entropy(const Tensors& in) { return kernels::cross_entropy(in[0], in[1], in[2], in[3]).loss; }
at::Tensor slow_cross_entropy(const Tensors& in) { return -(log_shares(in[0], in[1]).gather(1, in[2].unsqueeze(1)).squeeze(1) * in[3]).sum(); }

// rows, head, teacher's rows, teacher's head, weights.
at::Tensor run_soft(const Tensors& in) { return kernels::cross_entropy_soft(in[0], in[1], in[2], in[3], in[4]); }
at::Tensor slow_soft(const Tensors& in) {
  const at::Tensor shares = log_shares(in[0], in[1]), wanted = log_shares(in[2], in[3]);
  return ((wanted.exp() * (wanted - shares)).sum(1) * in[4]).sum();
}

struct HeadShape {
  std::int64_t rows, size, vocabulary;
};
// Odd ones, one of many chunks (a chunk has 2048 rows at most), several tiles of words.
constexpr HeadShape kHeads[] = {{1, 8, 3}, {7, 5, 17}, {130, 33, 300}, {257, 48, 1025}, {2100, 12, 37}, {70, 20, 5000}};

// Quantised and back again, at one precision, by the device where it can; the types of what is kept are those of the tensor.
Run run_quantise(Precision precision, Along along) {
  return [=](const Tensors& in) {
    const RoundedTensor there = rounded_there(in[0], along, precision);
    const Rounded rounded{there.numbers, there.scales};
    const at::Tensor x = in[0].cpu().contiguous(), out = at::empty_like(x);
    const QuantisedShape shape{dtype_of(x.scalar_type()), precision, along, static_cast<std::size_t>(x.size(0)), static_cast<std::size_t>(x.size(1)),
                               static_cast<std::size_t>(x.size(2))};
    std::vector<std::byte> parts(shape.bytes());
    ChangeTally tally;
    quantise(shape, bytes_of(x), parts, tally, there.precision == precision ? &rounded : nullptr);
    dequantise(shape, parts, {static_cast<std::byte*>(out.mutable_data_ptr()), static_cast<std::size_t>(out.nbytes())});
    return out.to(in[0].device());
  };
}

}  // namespace

OpCases linear_cases() {
  OpCases op{"linear", {}, {}};
  const auto name_of_type = [](at::ScalarType dtype) { return std::string(uio::name_of(dtype_of(dtype))); };
  for (const std::int64_t rows : {1, 2, 4, 5, 17, 64})
    for (const auto& [in, out] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {7, 3}, {48, 40}, {130, 257}})
      for (const at::ScalarType stored : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble})
        for (const at::ScalarType computed : {at::kFloat, at::kBFloat16, at::kDouble}) {
          const auto inputs = [=, in = in, out = out]() -> std::vector<Input> {
            // Frozen weights: they ask for no gradient.
            return {{leaf(normal({rows, in}, 10)), computed}, {normal({out, in}, 11) / std::sqrt(static_cast<double>(in)), stored}, {normal({out}, 12), computed}};
          };
          // Weights in f16 or f64 lose bits when bfloat16 products read them: the plain composition does so, too.
          const bool is_narrowed = computed == at::kBFloat16 && stored != at::kBFloat16;
          const double slopes = computed == at::kFloat ? 1e-5 : 0;
          op.cases.push_back({shape_name({rows, in, out}) + " " + name_of_type(stored) + " weights, " + name_of_type(computed), inputs, run_linear, slow_linear,
                              is_narrowed ? 1e-4 : tolerance(computed), slopes, false, /*any_threads=*/false});
        }
  constexpr std::int64_t kIn = 4096, kOut = 4096;
  for (const std::int64_t rows : {1, 512})
    for (const at::ScalarType stored : {at::kFloat, at::kBFloat16}) {
      const auto computed = kernels::cpu_has_bf16_products() ? stored : at::kFloat;
      op.costs.push_back({shape_name({rows, kIn, kOut}) + " " + name_of_type(stored) + " weights, " + name_of_type(computed),
                          [=] { return Tensors{normal({rows, kIn}, 1, computed), normal({kOut, kIn}, 2, stored), at::Tensor()}; }, run_linear,
                          static_cast<double>(kIn * kOut) * static_cast<double>(c10::elementSize(stored)), 2.0 * static_cast<double>(rows * kIn * kOut), computed});
    }
  return op;
}

OpCases int8_linear_cases() {
  OpCases op{"int8_linear", {}, {}};
  for (const std::int64_t rows : {1, 2, 8, 9, 40})
    for (const auto& [in, out] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {33, 70}, {768, 300}, {5000, 17}})
      for (const at::ScalarType computed : {at::kFloat, at::kDouble}) {
        const auto inputs = [=, in = in, out = out]() -> std::vector<Input> {
          const kernels::Int8Weight weight = kernels::rounded_to_int8(normal({out, in}, 5));
          return {{normal({rows, in}, 6), computed}, {weight.values, at::kChar}, {weight.scales.to(at::kDouble), at::kFloat}, {normal({out}, 7), computed}};
        };
        // Of few rows the activations are rounded to 13 bits of the row's largest.
        const bool is_rounded = computed == at::kFloat && rows <= 8;
        op.cases.push_back({shape_name({rows, in, out}) + " " + uio::name_of(dtype_of(computed)), inputs, run_int8_linear, slow_int8_linear,
                            is_rounded ? 1e-6 : tolerance(computed)});
      }
  constexpr std::int64_t kIn = 4096, kOut = 4096;
  for (const std::int64_t rows : {1, 8, 512})
    op.costs.push_back({shape_name({rows, kIn, kOut}),
                        [=] {
                          const kernels::Int8Weight weight = kernels::rounded_to_int8(normal({kOut, kIn}, 2));
                          return Tensors{normal({rows, kIn}, 1, at::kFloat), weight.values, weight.scales, at::Tensor()};
                        },
                        run_int8_linear, static_cast<double>(kIn * kOut), 2.0 * static_cast<double>(rows * kIn * kOut)});
  return op;
}

OpCases cross_entropy_cases() {
  OpCases op{"cross_entropy", {}, {}};
  for (const HeadShape& shape : kHeads) {
    const auto inputs = [=]() -> std::vector<Input> {
      return {{leaf(normal({shape.rows, shape.size}, 1)), at::kFloat}, {leaf(normal({shape.vocabulary, shape.size}, 2)), at::kFloat},
              {ids(shape.rows, shape.vocabulary, 3), at::kLong}, {normal({shape.rows}, 4).abs(), at::kFloat}};
    };
    op.cases.push_back({shape_name({shape.rows, shape.size, shape.vocabulary}), inputs, run_cross_entropy, slow_cross_entropy, 1e-10, 1e-5});
  }
  op.cases.push_back({"logits that are far apart",
                      []() -> std::vector<Input> {
                        return {{leaf(60 * normal({20, 8}, 33)), at::kFloat}, {leaf(normal({40, 8}, 34)), at::kFloat}, {ids(20, 40, 35), at::kLong},
                                {at::ones({20}, at::kDouble), at::kFloat}};
                      },
                      run_cross_entropy, slow_cross_entropy, 1e-8, 1e-4});
  op.cases.push_back({"3x4x6 f64",
                      []() -> std::vector<Input> {
                        return {{leaf(normal({3, 4}, 9)), at::kDouble}, {leaf(normal({6, 4}, 10)), at::kDouble}, {ids(3, 6, 12), at::kLong}, {normal({3}, 11), at::kDouble}};
                      },
                      run_cross_entropy, slow_cross_entropy, 1e-24, 1e-9, true});
  constexpr std::int64_t kRows = 1024, kSize = 768, kWords = 32000;
  op.costs.push_back({shape_name({kRows, kSize, kWords}) + " f32",
                      [] {
                        return Tensors{normal({kRows, kSize}, 1, at::kFloat), normal({kWords, kSize}, 2, at::kFloat), ids(kRows, kWords, 3), at::ones({kRows})};
                      },
                      run_cross_entropy, 4.0 * kWords * kSize, 2.0 * kRows * kSize * kWords});
  return op;
}

OpCases cross_entropy_soft_cases() {
  OpCases op{"cross_entropy_soft", {}, {}};
  for (const HeadShape& shape : kHeads) {
    const auto inputs = [=]() -> std::vector<Input> {
      return {{leaf(normal({shape.rows, shape.size}, 1)), at::kFloat}, {leaf(normal({shape.vocabulary, shape.size}, 2)), at::kFloat},
              {normal({shape.rows, 9}, 5), at::kFloat}, {normal({shape.vocabulary, 9}, 6), at::kFloat}, {normal({shape.rows}, 4).abs(), at::kFloat}};
    };
    op.cases.push_back({shape_name({shape.rows, shape.size, shape.vocabulary}), inputs, run_soft, slow_soft, 1e-10, 1e-5});
  }
  op.cases.push_back({"3x4x6 f64",
                      []() -> std::vector<Input> {
                        return {{leaf(normal({3, 4}, 9)), at::kDouble}, {leaf(normal({6, 4}, 10)), at::kDouble}, {normal({3, 2}, 13), at::kDouble},
                                {normal({6, 2}, 14), at::kDouble}, {normal({3}, 11), at::kDouble}};
                      },
                      run_soft, slow_soft, 1e-24, 1e-9, true});
  constexpr std::int64_t kRows = 512, kSize = 768, kWords = 32000;
  op.costs.push_back({shape_name({kRows, kSize, kWords}) + " f32",
                      [] {
                        const auto rows = [](std::int64_t n, std::uint64_t seed) { return normal({n, kSize}, seed, at::kFloat); };
                        return Tensors{rows(kRows, 1), rows(kWords, 2), rows(kRows, 3), rows(kWords, 4), at::ones({kRows})};
                      },
                      run_soft, 8.0 * kWords * kSize, 4.0 * kRows * kSize * kWords});
  return op;
}

// How near a quantised tensor comes is all that is asked here; its bytes are tested in tests/unit/io.
OpCases quantise_cases() {
  OpCases op{"quantise", {}, {}};
  const Run same = [](const Tensors& in) { return in[0]; };
  for (const Precision precision : {Precision::kInt8, Precision::kInt4})
    for (const Along along : {Along::kChannel, Along::kToken}) {
      const std::string name = std::string(name_of(precision)) + (along == Along::kChannel ? " along channels " : " along tokens ");
      // Half a step of the largest of some thirty normal numbers, about 2.2: squared over 12 of a 127th or a 7th.
      const double bound = precision == Precision::kInt8 ? 1e-4 : 2e-2;
      for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf})
        op.cases.push_back({name + "3x32x64 " + name_of(dtype_of(dtype)), [dtype]() -> std::vector<Input> { return {{normal({3, 32, 64}, 1), dtype}}; },
                            run_quantise(precision, along), same, bound});
      constexpr std::int64_t kMatrices = 64, kRows = 32, kColumns = 1024;
      op.costs.push_back({name + shape_name({kMatrices, kRows, kColumns}) + " bf16", [] { return Tensors{normal({kMatrices, kRows, kColumns}, 1, at::kBFloat16)}; },
                          run_quantise(precision, along), 4.0 * kMatrices * kRows * kColumns, 0});
    }
  return op;
}

}  // namespace uio::ops
