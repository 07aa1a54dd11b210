#include "kernels/device_check.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "kernels/attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/device_kernels.h"
#include "kernels/int8_linear.h"
#include "kernels/nearest_runs.h"
#include "kernels/rms_norm.h"
#include "kernels/rotary.h"
#include "kernels/swiglu.h"

namespace uio::kernels {
namespace {

using Tensors = std::vector<at::Tensor>;
using Op = std::function<at::Tensor(const Tensors&)>;

constexpr double kEpsilon = 1e-5;
constexpr at::ScalarType kTypes[] = {at::kFloat, at::kBFloat16};

// What may differ, of the largest number: sums in another order, or one rounding to bf16 and what it is made of.
double bound_of(at::ScalarType type) { return type == at::kFloat ? 2e-5 : 2e-2; }

// The greatest difference over the greatest number expected, as a share of what is allowed.
double excess(const at::Tensor& found, const at::Tensor& expected, double bound) {
  if (found.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  if (expected.numel() == 0) return 0;
  const at::Tensor exact = expected.to(at::kDouble);
  const double error =
      (found.to(at::kDouble) - exact).abs().max().item<double>() / std::max(exact.abs().max().item<double>(), 1e-30);
  return std::isfinite(error) ? error / bound : std::numeric_limits<double>::infinity();
}

class Checks {
 public:
  explicit Checks(at::Device device)
      : device_(device), generator_(at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{1})) {}

  double worst = 0;  // 1: just within bounds

  at::Tensor numbers(at::IntArrayRef sizes, at::ScalarType type) { return at::randn(sizes, generator_).to(device_, type); }

  // `op` on `inputs` against `plain` on the same numbers in f64: its value twice, then the gradients of the first `derived`
  // inputs.
  void compare(const Op& op, const Op& plain, const Tensors& inputs, double bound, std::size_t derived) {
    Tensors wide;
    for (const at::Tensor& x : inputs) wide.push_back(x.is_floating_point() ? x.to(at::kDouble) : x);
    {
      const at::NoGradGuard nothing;
      const at::Tensor value = op(inputs);
      if (!at::equal(value, op(inputs))) worst = std::numeric_limits<double>::infinity();
      see(value, plain(wide), bound);
    }
    if (derived == 0) return;
    Tensors leaves = inputs, wide_leaves = wide;
    for (std::size_t i = 0; i < derived; ++i) {
      leaves[i] = inputs[i].detach().requires_grad_(true);
      wide_leaves[i] = wide[i].detach().requires_grad_(true);
    }
    const at::Tensor value = op(leaves), exact = plain(wide_leaves), slope = numbers(value.sizes(), value.scalar_type());
    see(value.detach(), exact.detach(), bound);
    const auto few = [&](const Tensors& all) {
      return Tensors(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(derived));
    };
    const Tensors found = torch::autograd::grad({value}, few(leaves), {slope});
    const Tensors expected = torch::autograd::grad({exact}, few(wide_leaves), {slope.to(exact.scalar_type())});
    for (std::size_t i = 0; i < derived; ++i) see(found[i], expected[i], bound);
  }

 private:
  void see(const at::Tensor& found, const at::Tensor& expected, double bound) {
    worst = std::max(worst, excess(found, expected, bound));
  }

  at::Device device_;
  at::Generator generator_;
};

// Widths that fill the kernels' packs or do not, blocks of one group of threads or of several; more rows than sums of the
// gradient.
void check_rms_norm(Checks& checks) {
  for (const at::ScalarType type : kTypes)
    for (const auto& [rows, n] :
         {std::pair<std::int64_t, std::int64_t>{1, 3}, {5, 33}, {7, 64}, {3, 1028}, {3, 4101}, {3, 8192}, {1030, 4}}) {
      const at::Tensor x = 3 * checks.numbers({rows, n}, at::kFloat), added = checks.numbers({rows, n}, type),
                       weight = checks.numbers({n}, at::kFloat);
      const auto norm = [type](const Tensors& in) { return rms_norm(in[0], in[1], kEpsilon, type); };
      const auto plain = [](const Tensors& in) { return rms_norm_reference(in[0], in[1], kEpsilon, at::kDouble); };
      checks.compare(norm, plain, {x, weight}, bound_of(type), 2);
      for (const bool is_sum : {false, true}) {
        const auto both = [=](const Tensors& in) {
          const AddedNorm found = add_rms_norm(in[0], in[1], in[2], kEpsilon, type);
          return is_sum ? found.sum : found.normed;
        };
        const auto plain_both = [=](const Tensors& in) {
          const AddedNorm found = add_rms_norm_reference(in[0], in[1], in[2], kEpsilon, at::kDouble);
          return is_sum ? found.sum : found.normed;
        };
        checks.compare(both, plain_both, {x, added, weight}, bound_of(type), is_sum ? 2 : 3);
      }
      const auto together = [](const AddedNorm& found) { return found.sum + found.normed; };
      checks.compare(
          [=](const Tensors& in) { return together(add_rms_norm(in[0], in[1], in[2], kEpsilon, type)); },
          [=](const Tensors& in) { return together(add_rms_norm_reference(in[0], in[1], in[2], kEpsilon, at::kDouble)); },
          {x, added, weight}, bound_of(type), 3);
    }
}

void check_swiglu(Checks& checks) {
  const auto op = [](const Tensors& in) { return swiglu(in[0].requires_grad() ? in[0] : in[0].clone(), in[1]); };
  const auto plain = [](const Tensors& in) { return swiglu_reference(in[0], in[1]); };
  for (const at::ScalarType type : kTypes) {
    for (const std::int64_t count : {1, 31, 4096, 70003})
      checks.compare(op, plain, {3 * checks.numbers({count}, type), checks.numbers({count}, type)}, bound_of(type), 2);
    // More than all blocks of the kernel take up in one step.
    checks.compare(op, plain, {checks.numbers({4099}, type).repeat({1050}), checks.numbers({4099}, type).repeat({1050})},
                   bound_of(type), 0);
    // Numbers that do not begin where many can be read at once.
    checks.compare(op, plain,
                   {3 * checks.numbers({1001}, type).narrow(0, 1, 1000), checks.numbers({1001}, type).narrow(0, 1, 1000)},
                   bound_of(type), 2);
  }
}

void check_rotary(Checks& checks) {
  const auto op = [](const Tensors& in) { return rotary(in[0], in[1], in[2]); };
  const auto plain = [](const Tensors& in) { return rotary_reference(in[0], in[1], in[2]); };
  for (const at::ScalarType type : kTypes)
    for (const std::int64_t size : {2, 20, 64, 128}) {
      const at::Tensor angle = checks.numbers({37, size / 2}, at::kFloat);
      checks.compare(op, plain, {checks.numbers({2, 37, 3, size}, type).transpose(1, 2), angle.cos(), angle.sin()},
                     bound_of(type), 1);
      checks.compare(op, plain, {checks.numbers({2, 3, 41, size}, type).narrow(2, 3, 37), angle.cos(), angle.sin()},
                     bound_of(type), 1);
    }
}

// LibTorch's attention over each part, and the merge; heads that share keys; one query, as in generation, and many.
void check_merge(Checks& checks) {
  constexpr double kScale = 0.2;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf})
    for (const std::int64_t size : {8, 64, 128})
      for (const std::int64_t count : {1, 131})
        for (const auto& [heads, groups] : {std::pair<std::int64_t, std::int64_t>{3, 3}, {6, 2}})
          for (const std::size_t memories : {0, 1, 2}) {
            if (type == at::kHalf && size != 64) continue;
            const auto parts_of = [=](const Tensors& in) {
              std::vector<AttentionPart> parts;
              for (std::size_t i = 0; i <= memories; ++i)
                parts.push_back({in[3 * i], in[3 * i + 1], in[3 * i + 2], i < memories ? Visible::kAll : Visible::kCausal, {}});
              return parts;
            };
            Tensors inputs;
            for (std::size_t i = 0; i <= memories; ++i) {
              const std::int64_t keys = i < memories ? 37 + 100 * static_cast<std::int64_t>(i) : count;
              inputs.push_back(2 * checks.numbers({2, count, heads, size}, type).transpose(1, 2));  // as projections leave them
              for (int k = 0; k < 2; ++k) inputs.push_back(checks.numbers({2, groups, keys, size}, type));
            }
            // With one key the weight is 1, and the gradients of query and key are 0 but for rounding: no matter of ratios.
            const std::size_t derived = count == 1 ? 0 : inputs.size();
            checks.compare([=](const Tensors& in) { return attention(parts_of(in), kScale); },
                           [=](const Tensors& in) { return attention_reference(parts_of(in), kScale); }, inputs,
                           type == at::kFloat ? 1e-4 : 2e-2, derived);
          }
}

void check_loss_rows(Checks& checks) {
  const auto op = [](const Tensors& in) { return cross_entropy(in[0], in[1], in[2], in[3]).loss; };
  const auto values = [](const Tensors& in) { return cross_entropy(in[0], in[1], in[2], in[3]).log_probabilities; };
  for (const auto& [rows, words] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {5, 33}, {70, 260}, {3, 3001}, {3, 50000}}) {
    const at::Tensor x = 2 * checks.numbers({rows, 12}, at::kFloat), head = checks.numbers({words, 12}, at::kFloat);
    const at::Tensor weights = checks.numbers({rows}, at::kFloat).abs();
    const at::Tensor targets = at::arange(rows, x.options().dtype(at::kLong)).mul(words - 1).remainder(words);
    checks.compare(op, op, {x, head, targets, weights}, words == 1 ? 1 : 5e-5,
                   words == 1 ? 0 : 2);  // of one word the loss is 0: no matter of ratios
    checks.compare(values, values, {x, head, targets, weights}, words == 1 ? 1 : 5e-5, 0);
  }
}

void check_int8_product(Checks& checks) {
  const auto op = [](const Tensors& in) { return linear(in[0], Int8Weight{in[1], in[2]}, in[3]); };
  const auto plain = [](const Tensors& in) { return linear_reference(in[0], Int8Weight{in[1], in[2]}, in[3]); };
  for (const at::ScalarType type : kTypes)
    for (const std::int64_t rows : {1, 2, 5, 8})
      for (const auto& [out, in] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {70, 33}, {17, 512}, {301, 4112}}) {
        const Int8Weight weight = rounded_to_int8(checks.numbers({out, in}, at::kFloat));
        checks.compare(op, plain, {checks.numbers({rows, in}, type), weight.values, weight.scales, checks.numbers({out}, type)},
                       bound_of(type), 0);
      }
}

// To the bit, or memories would be others than those that the CPU makes. Scales as of int4 and of int8; runs that are whole or not; items far apart, and none.
void check_nearest_runs(Checks& checks) {
  for (const bool is_fine : {false, true}) {
    std::vector<double> allowed;
    for (int exponent = -100; exponent <= 100; ++exponent)
      for (int step = 0; step < (is_fine ? 8 : 1); ++step) allowed.push_back(std::ldexp(1 + step / 8.0, exponent));
    const RunScales scales{allowed, allowed[8], is_fine ? 7 : 127, 0.6, 24};
    for (const at::ScalarType type : kTypes)
      for (const bool is_down : {false, true})
        for (const auto& [rows, columns] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {16, 64}, {33, 70}, {130, 5}}) {
          at::Tensor items = checks.numbers({3, rows, columns}, type);
          items[1].mul_(checks.numbers({rows, columns}, at::kFloat).mul(8).exp().to(type));
          items[2].zero_();
          const std::optional<NearestRuns> found = nearest_runs(items, is_down, scales);
          const NearestRuns wanted = nearest_runs_reference(items, is_down, scales);
          if (!found || !at::equal(found->numbers.to(at::kCPU), wanted.numbers) || !at::equal(found->chosen.to(at::kCPU), wanted.chosen))
            checks.worst = std::numeric_limits<double>::infinity();
        }
  }
}

// The kernels that stand or fall together, as they are called in messages.
struct Group {
  const char* name;
  void (*check)(Checks& checks);
  void (*leave_out)(CudaKernels& table);
};
constexpr Group kGroups[] = {
    {"rms_norm", check_rms_norm, [](CudaKernels& table) { table.rms_norm = nullptr, table.rms_norm_slope = nullptr; }},
    {"swiglu", check_swiglu, [](CudaKernels& table) { table.swiglu = nullptr, table.swiglu_slope = nullptr; }},
    {"rotary", check_rotary, [](CudaKernels& table) { table.rotary = nullptr; }},
    {"attention", check_merge, [](CudaKernels& table) { table.merge = nullptr; }},
    {"loss_rows", check_loss_rows, [](CudaKernels& table) { table.loss_rows = nullptr; }},
    {"int8_product", check_int8_product, [](CudaKernels& table) { table.int8_product = nullptr; }},
    {"nearest_runs", check_nearest_runs, [](CudaKernels& table) { table.nearest_runs = nullptr; }},
};

// What is wrong, or empty.
std::string fault_of(const Group& group, at::Device device) {
  Checks checks(device);
  try {
    group.check(checks);
  } catch (const Error& error) {
    return std::string("fails: ") + error.what();
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    return "fails: " + text.substr(0, text.find('\n'));
  }
  if (checks.worst <= 1) return "";
  char text[64];
  std::snprintf(text, sizeof text, "differs by %.3g times its bound", checks.worst);
  return text;
}

}  // namespace

std::vector<std::string> take_device_kernels(const CudaKernels& table, at::Device device) {
  const c10::InferenceMode plain_tensors(false);
  const at::AutoGradMode recorded(true);
  std::vector<std::string> faults;
  CudaKernels kept = table;
  set_device_kernels(&table, device.type());
  for (const Group& group : kGroups) {
    const std::string fault = fault_of(group, device);
    if (fault.empty()) continue;
    faults.push_back(std::string("kernel ") + group.name + " " + fault + ": plain composition used");
    group.leave_out(kept);
  }
  set_device_kernels(&kept, device.type());
  return faults;
}

}  // namespace uio::kernels
