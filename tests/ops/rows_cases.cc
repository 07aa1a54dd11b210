// Ops over rows: rms_norm, add_rms_norm, swiglu, rotary.
#include <ATen/ATen.h>

#include "kernels/rms_norm.h"
#include "kernels/rotary.h"
#include "kernels/swiglu.h"
#include "ops/op_table.h"
#include "unit/kernels/compare.h"

namespace uio::ops {
namespace {

using test::normal;
using test::tolerance;
constexpr at::ScalarType kTypes[] = {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble};

at::Tensor leaf(const at::Tensor& x) { return x.detach().requires_grad_(true); }

// Bounds of gradients: bf16 rounds them, and what they are made of.
double slope_bound(at::ScalarType dtype) { return dtype == at::kFloat ? 1e-5 : dtype == at::kBFloat16 ? 2e-2 : 0; }

std::string type_name(at::ScalarType dtype) { return dtype == at::kFloat ? "f32" : dtype == at::kBFloat16 ? "bf16" : dtype == at::kHalf ? "f16" : "f64"; }

std::string named(std::int64_t rows, std::int64_t n, at::ScalarType dtype, const char* more = "") {
  return std::to_string(rows) + "x" + std::to_string(n) + " " + type_name(dtype) + more;
}

constexpr double kEpsilon = 1e-5;

at::Tensor slow_rms_norm(const Tensors& in) {
  return in[0] / (in[0].square().sum(-1, true) / static_cast<double>(in[0].size(-1)) + kEpsilon).sqrt() * in[1];
}

at::Tensor slow_swiglu(const Tensors& in) { return in[0] / (1 + (-in[0]).exp()) * in[1]; }

at::Tensor slow_rotary(const Tensors& in) {
  const std::int64_t half = in[0].size(-1) / 2;
  const at::Tensor a = in[0].narrow(-1, 0, half), b = in[0].narrow(-1, half, half);
  return at::cat({a * in[1] - b * in[2], b * in[1] + a * in[2]}, -1);
}

// The result may take the gate's storage where nothing is recorded.
at::Tensor run_swiglu(const Tensors& in) { return kernels::swiglu(in[0].requires_grad() ? in[0] : in[0].clone(), in[1]); }

at::Tensor run_rotary(const Tensors& in) { return kernels::rotary(in[0], in[1], in[2]); }

Run run_rms_norm(at::ScalarType out) {
  return [out](const Tensors& in) { return kernels::rms_norm(in[0], in[1], kEpsilon, out); };
}

// What is normalised, or the sum that is kept.
Run run_add_rms_norm(at::ScalarType out, bool is_sum) {
  return [=](const Tensors& in) {
    const kernels::AddedNorm both = kernels::add_rms_norm(in[0], in[1], in[2], kEpsilon, out);
    return is_sum ? both.sum : both.normed;
  };
}
Run slow_add_rms_norm(bool is_sum) {
  return [=](const Tensors& in) {
    const at::Tensor sum = in[0] + in[1];
    return is_sum ? sum : slow_rms_norm({sum, in[2]});
  };
}

Case rotary_case(const std::string& name, const std::function<at::Tensor()>& x, at::ScalarType dtype) {
  const auto inputs = [=]() -> std::vector<Input> {
    const at::Tensor rows = x(), angle = normal({rows.size(-2), rows.size(-1) / 2}, 5);
    const auto table = dtype == at::kDouble ? at::kDouble : at::kFloat;
    return {{leaf(rows), dtype}, {angle.cos(), table}, {angle.sin(), table}};
  };
  return {name + " " + type_name(dtype), inputs, run_rotary, slow_rotary, tolerance(dtype), slope_bound(dtype)};
}

}  // namespace

OpCases rms_norm_cases() {
  OpCases op{"rms_norm", {}, {}};
  for (const std::int64_t n : {1, 3, 5, 16, 33, 96, 512})
    for (const std::int64_t rows : {1, 7, 128, 301}) {
      const auto inputs = [=]() -> std::vector<Input> { return {{leaf(3 * normal({rows, n}, 1)), at::kFloat}, {leaf(normal({n}, 2)), at::kFloat}}; };
      for (const at::ScalarType out : {at::kFloat, at::kBFloat16, at::kHalf}) {
        if (out != at::kFloat && rows != 7) continue;
        // A row of one number normalises to ±1: its gradient is what epsilon leaves of a difference of equals, not a matter of 1e-5.
        const double slopes = n == 1 || out == at::kHalf ? 0 : 1e-5;
        op.cases.push_back({named(rows, n, at::kFloat, (" to " + type_name(out)).c_str()), inputs, run_rms_norm(out), slow_rms_norm, tolerance(out), slopes});
      }
    }
  op.cases.push_back({"rows that do not lie side by side",
                      []() -> std::vector<Input> { return {{leaf(normal({3, 2, 6}, 3).transpose(0, 1)), at::kFloat}, {leaf(normal({6}, 4)), at::kFloat}}; },
                      run_rms_norm(at::kFloat), slow_rms_norm, tolerance(at::kFloat), 1e-5});
  op.cases.push_back({"3x2x6 f64",
                      []() -> std::vector<Input> { return {{leaf(normal({3, 2, 6}, 3)), at::kDouble}, {leaf(normal({6}, 4)), at::kDouble}}; },
                      run_rms_norm(at::kDouble), slow_rms_norm, tolerance(at::kDouble), 1e-9, true});
  constexpr std::int64_t kRows = 8192, kWidth = 2048;
  for (const at::ScalarType out : {at::kFloat, at::kBFloat16})
    op.costs.push_back({named(kRows, kWidth, at::kFloat, (" to " + type_name(out)).c_str()),
                        [] { return Tensors{normal({kRows, kWidth}, 1, at::kFloat), normal({kWidth}, 2, at::kFloat)}; }, run_rms_norm(out),
                        static_cast<double>(kRows * kWidth) * (4 + static_cast<double>(c10::elementSize(out))), 0});
  return op;
}

OpCases add_rms_norm_cases() {
  OpCases op{"add_rms_norm", {}, {}};
  const auto add = [&](const std::string& name, const std::function<std::vector<Input>()>& inputs, at::ScalarType out, double slopes) {
    for (const bool is_sum : {false, true})
      op.cases.push_back({name + (is_sum ? ", the sum" : ""), inputs, run_add_rms_norm(out, is_sum), slow_add_rms_norm(is_sum),
                          tolerance(is_sum && out != at::kDouble ? at::kFloat : out), is_sum ? 0 : slopes, false});
  };
  for (const std::int64_t n : {1, 3, 16, 33, 96, 512})
    for (const std::int64_t rows : {1, 7, 301})
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
        const auto inputs = [=]() -> std::vector<Input> {
          return {{leaf(3 * normal({rows, n}, 1)), at::kFloat}, {leaf(normal({rows, n}, 3)), type}, {leaf(normal({n}, 2)), at::kFloat}};
        };
        add(named(rows, n, type), inputs, type, n == 1 ? 0 : slope_bound(type));
      }
  add("rows that do not lie side by side",
      []() -> std::vector<Input> {
        return {{leaf(normal({3, 2, 6}, 3).transpose(0, 1)), at::kFloat}, {leaf(normal({2, 3, 6}, 5)), at::kFloat}, {leaf(normal({6}, 4)), at::kFloat}};
      },
      at::kFloat, 1e-5);
  add("3x6 f64",
      []() -> std::vector<Input> {
        return {{leaf(normal({3, 6}, 3)), at::kDouble}, {leaf(normal({3, 6}, 5)), at::kDouble}, {leaf(normal({6}, 4)), at::kDouble}};
      },
      at::kDouble, 1e-9);
  op.cases[op.cases.size() - 2].by_differences = true;
  constexpr std::int64_t kRows = 8192, kWidth = 2048;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
    op.costs.push_back({named(kRows, kWidth, type),
                        [=] { return Tensors{normal({kRows, kWidth}, 1, at::kFloat), normal({kRows, kWidth}, 3, type), normal({kWidth}, 2, at::kFloat)}; },
                        run_add_rms_norm(type, false), static_cast<double>(kRows * kWidth) * (8 + 2 * static_cast<double>(c10::elementSize(type))), 0});
  return op;
}

OpCases swiglu_cases() {
  OpCases op{"swiglu", {}, {}};
  for (const at::ScalarType dtype : kTypes) {
    for (const std::int64_t n : {1, 8, 30, 257, 9001}) {
      const auto inputs = [=]() -> std::vector<Input> { return {{leaf(3 * normal({5, n}, 8)), dtype}, {leaf(normal({5, n}, 9)), dtype}}; };
      op.cases.push_back({named(5, n, dtype), inputs, run_swiglu, slow_swiglu, tolerance(dtype), slope_bound(dtype)});
      const auto turned = [=]() -> std::vector<Input> { return {{leaf(3 * normal({5, n}, 8).t()), dtype}, {leaf(normal({5, n}, 9).t()), dtype}}; };
      op.cases.push_back({named(n, 5, dtype, ", by columns"), turned, run_swiglu, slow_swiglu, tolerance(dtype), slope_bound(dtype)});
    }
  }
  // Where e^x does not fit f32 the gradient is that of 0, or of the gate itself.
  op.cases.push_back({"far from 0",
                      []() -> std::vector<Input> {
                        const at::Tensor gate = at::tensor({-200.0, -90.0, -30.0, 0.0, 30.0, 90.0, 200.0, 1.0, 2.0}).to(at::kDouble);
                        return {{leaf(gate), at::kFloat}, {leaf(normal({9}, 10)), at::kFloat}};
                      },
                      run_swiglu, slow_swiglu, tolerance(at::kFloat), 1e-5});
  op.cases.push_back({"2x3 f64", []() -> std::vector<Input> { return {{leaf(normal({2, 3}, 11)), at::kDouble}, {leaf(normal({2, 3}, 12)), at::kDouble}}; },
                      run_swiglu, slow_swiglu, tolerance(at::kDouble), 1e-9, true});
  constexpr std::int64_t kRows = 4096, kWidth = 4096;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16})
    op.costs.push_back({named(kRows, kWidth, dtype), [dtype] { return Tensors{normal({kRows, kWidth}, 1, dtype), normal({kRows, kWidth}, 2, dtype)}; },
                        [](const Tensors& in) { return kernels::swiglu(in[0], in[1]); },
                        3.0 * static_cast<double>(kRows * kWidth) * static_cast<double>(c10::elementSize(dtype)), 0});
  return op;
}

OpCases rotary_cases() {
  OpCases op{"rotary", {}, {}};
  for (const at::ScalarType dtype : kTypes)
    for (const std::int64_t size : {2, 6, 16, 20, 64, 100}) {
      const std::string name = "2x3x5x" + std::to_string(size);
      // As projections leave it (heads between tokens and components), and with heads outside.
      op.cases.push_back(rotary_case(name + ", rows by token,", [=] { return normal({2, 5, 3, size}, 14).transpose(1, 2); }, dtype));
      op.cases.push_back(rotary_case(name + ", rows by head,", [=] { return normal({2, 3, 5, size}, 14); }, dtype));
      op.cases.push_back(rotary_case(name + ", part of a longer row of tokens,", [=] { return normal({2, 3, 9, size}, 15).narrow(2, 2, 5); }, dtype));
      op.cases.push_back(rotary_case(name + ", components apart,", [=] { return normal({2, 3, size, 5}, 16).transpose(2, 3); }, dtype));
    }
  Case small = rotary_case("1x2x3x4", [] { return normal({1, 2, 3, 4}, 18); }, at::kDouble);
  small.slope_bound = 1e-9, small.by_differences = true;
  op.cases.push_back(small);
  constexpr std::int64_t kTokens = 4096, kHeads = 32, kSize = 128;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16})
    op.costs.push_back({"1x32x4096x128 " + type_name(dtype),
                        [dtype] {
                          const at::Tensor angle = normal({kTokens, kSize / 2}, 5, at::kFloat);
                          return Tensors{normal({1, kTokens, kHeads, kSize}, 1, dtype).transpose(1, 2), angle.cos(), angle.sin()};
                        },
                        run_rotary, 2.0 * static_cast<double>(kTokens * kHeads * kSize) * static_cast<double>(c10::elementSize(dtype)), 0});
  return op;
}

}  // namespace uio::ops
