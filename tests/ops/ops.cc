// Walks through the table of ops: `ops MODE [--device DEVICE] [OP...]`.
//   test     every case against the definition in f64, by the fast path and by the plain composition
//   grad     gradients against those of the definition in f64, and by differences where a case is small
//   perf     time of each timed case beside the bound of its bytes or its products, in the same run: a JSON line each
//   support  which row kernels were compiled, run here and are used; with which types each op calls no arithmetic but its own, and what it
//           calls of LibTorch's otherwise: a JSON line for each way that its cases go
// DEVICE is cpu; cuda (libuio_cuda.so's kernels as they are, not as its self-check would leave them), where without a GPU the status is 77; or
// emulated: the bodies of the CUDA kernels run by the CPU, for test and grad.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <set>

#include "bench/yardsticks.h"
#include "kernels/device_kernels.h"
#include "kernels/policy.h"
#include "model/cuda_plugin.h"
#include "ops/gradient_errors.h"
#include "ops/op_table.h"
#include "ops/row_builds.h"
#include "ops/on_device.h"
#include "unit/kernels/force_reference.h"
#include "unit/kernels/fibre_launch.h"

namespace {

using namespace uio;
using namespace uio::ops;

// Counts what was looked at, and prints what is wrong.
struct Verdict {
  int looked_at = 0, wrong = 0;
  void add(const std::string& op, const std::string& name, const std::string& error) {
    ++looked_at;
    if (error.empty()) return;
    ++wrong;
    std::printf("%s, %s: %s\n", op.c_str(), name.c_str(), error.c_str());
  }
  int status() const {
    std::printf("%d cases, %d wrong\n", looked_at, wrong);
    return wrong > 0 || looked_at == 0;
  }
};

std::string with(const char* text, double number) {
  char line[96];
  std::snprintf(line, sizeof line, "%s %.3g", text, number);
  return line;
}

struct Taken {
  Tensors narrow, wide;
};

// The inputs in the op's types, and the same numbers in f64.
Taken take(const Case& one) {
  Taken taken;
  for (const Input& input : one.inputs()) {
    taken.narrow.push_back(test::converted(input.value, input.dtype).detach());
    taken.wide.push_back(test::converted(taken.narrow.back(), at::kDouble).detach());
  }
  return taken;
}

void check_values(const OpCases& op, at::Device device, Verdict& verdict) {
  for (const Case& one : op.cases) {
    const Taken taken = take(one);
    const Run run = on_device(one.run, device);
    const at::Tensor exact = one.slow(taken.wide);
    const double fast = test::mean_square_error(run(taken.narrow), exact);
    std::string error = fast < one.bound ? "" : with("differs by", fast);
    const test::ForceReference forced;
    const double plain = test::mean_square_error(run(taken.narrow), exact);
    if (!(plain < one.bound)) error += with(" the plain composition differs by", plain);
    verdict.add(op.name, one.name, error);
  }
}

// `is_elsewhere`: not by the CPU's kernels, and LibTorch's products may depend on the number of threads.
void check_slopes(const OpCases& op, at::Device device, bool is_elsewhere, Verdict& verdict) {
  for (const Case& one : op.cases) {
    if (one.slope_bound == 0) continue;
    Tensors values;
    std::vector<at::ScalarType> dtypes;
    for (const Input& input : one.inputs()) {
      values.push_back(input.value);
      dtypes.push_back(input.dtype);
    }
    const Run run = on_device(one.run, device);
    std::string error = test::gradient_error(run, one.slow, values, dtypes, one.slope_bound, one.any_threads && !is_elsewhere);
    if (error.empty() && one.by_differences) error = test::difference_error(run, values);
    verdict.add(op.name, one.name, error);
  }
}

constexpr int kRuns = 7;
constexpr int kSkipped = 77;  // the status of tests that could not be run

// The same on a GPU, whose clock stops when all that was queued is done; bounds by a product and a copy there.
void time_costs(const OpCases& op, at::Device device) {
  const c10::InferenceMode no_gradients;
  constexpr std::int64_t kSize = 8192, kCopied = std::int64_t{1} << 28;
  const at::Tensor from = at::ones({kCopied}, at::TensorOptions(device)), to = at::empty_like(from);
  for (const Cost& cost : op.costs) {
    Tensors inputs;
    for (const at::Tensor& x : cost.inputs()) inputs.push_back(x.defined() ? x.to(device) : x);
    const at::Tensor factor = at::ones({kSize, kSize}, at::TensorOptions(device).dtype(cost.products));
    const auto waited = [&](const std::function<void()>& work) { return [&device, work] { work(), wait_for(device); }; };
    const std::function<void()> product = waited([&] { at::matmul(factor, factor); }), copy = waited([&] { at::Tensor(to).copy_(from); });
    const bench::Pair rates = bench::in_turn(3, product, copy);
    const double product_rate = 2.0 * kSize * kSize * kSize / bench::middle(rates.work), copy_rate = 8.0 * kCopied / bench::middle(rates.yardstick);
    const bool is_copy = cost.bytes / copy_rate > cost.flops / product_rate;
    const double amount = is_copy ? cost.bytes : cost.flops, rate = is_copy ? copy_rate : product_rate;
    const bench::Pair pair = bench::in_turn(kRuns, waited([&] { cost.run(inputs); }), is_copy ? copy : product);
    const double seconds = bench::middle(pair.work);
    bench::print({{"op", op.name}, {"case", cost.name}, {"device", device.str()}, {"seconds", seconds}, {is_copy ? "bytes" : "flops", amount},
                  {"machine_rate", rate}, {"of_bound", amount / rate / seconds}, {"runs", pair.work}});
  }
}

void time_costs(const OpCases& op) {
  const c10::InferenceMode no_gradients;
  static const bench::Read read;
  static const bench::Product wide(at::kFloat), narrow(at::kBFloat16);
  for (const Cost& cost : op.costs) {
    const Tensors inputs = cost.inputs();
    // The longer of the two bounds, by the rates of this moment; then the case beside that one, in turn.
    const bench::Product& product = cost.products == at::kBFloat16 && kernels::cpu_has_bf16_products() ? narrow : wide;
    const bench::Pair rates = bench::in_turn(1, product, read);
    const bool is_read = cost.bytes / bench::Read::kBytes * rates.yardstick[0] > cost.flops / bench::Product::kFlops * rates.work[0];
    const std::function<void()> yardstick = is_read ? std::function<void()>(read) : std::function<void()>(product);
    const bench::Pair pair = bench::in_turn(kRuns, [&] { cost.run(inputs); }, yardstick);
    const double amount = is_read ? cost.bytes : cost.flops, of_yardstick = is_read ? bench::Read::kBytes : bench::Product::kFlops;
    const double seconds = bench::middle(pair.work), rate = of_yardstick / bench::middle(pair.yardstick);
    bench::print({{"op", op.name}, {"case", cost.name}, {"seconds", seconds}, {is_read ? "bytes" : "flops", amount}, {"machine_rate", rate},
                  {"of_bound", amount / rate / seconds}, {"runs", pair.work}, {"yardstick_runs", pair.yardstick}});
  }
}

// Names of the ops of LibTorch that ran, but for those that only make, fill, copy, view or describe tensors.
thread_local std::set<std::string>* called = nullptr;

std::unique_ptr<at::ObserverContext> note_call(const at::RecordFunction& function) {
  static const std::set<std::string> bookkeeping = {
      "aten::empty", "aten::empty_like", "aten::empty_strided", "aten::view", "aten::_unsafe_view", "aten::reshape", "aten::_reshape_alias", "aten::transpose",
      "aten::permute", "aten::narrow", "aten::slice", "aten::select", "aten::unsqueeze", "aten::squeeze", "aten::expand", "aten::as_strided", "aten::t",
      "aten::detach", "aten::alias", "aten::flatten", "aten::resize_", "aten::contiguous", "aten::to", "aten::item", "aten::_local_scalar_dense", "aten::numpy_T",
      "aten::clone", "aten::copy_", "aten::_to_copy", "aten::zeros", "aten::zero_", "aten::fill_", "aten::resolve_conj", "aten::result_type", "aten::view_as",
      "aten::as_strided_", "aten::ones"};
  if (called && std::strncmp(function.name(), "aten::", 6) == 0 && !bookkeeping.contains(function.name())) called->insert(function.name());
  return nullptr;
}

void show_support(const OpCases& op) {
  std::set<std::string> seen;
  for (const Case& one : op.cases) {
    std::string types;
    for (const Input& input : one.inputs())
      if (const std::string type = c10::toString(input.dtype); !types.ends_with(type)) types += (types.empty() ? "" : " ") + type;
    const Taken taken = take(one);
    std::set<std::string> names;
    const c10::InferenceMode no_gradients;
    called = &names;
    const at::Tensor out = one.run(taken.narrow);
    called = nullptr;
    const std::string key = types + " to " + c10::toString(out.scalar_type()) + Json(names).dump();
    if (!seen.insert(key).second) continue;
    bench::print({{"op", op.name}, {"inputs", types}, {"output", c10::toString(out.scalar_type())}, {"first_case", one.name}, {"libtorch", names},
                  {"own_kernels_alone", names.empty()}});
  }
}

void show_builds() {
  Json compiled = {"generic"}, run_here = Json::array();
  if (kernels::avx2_row_kernels()) compiled.push_back("avx2");
  if (kernels::avx512_row_kernels()) compiled.push_back("avx512");
  for (const kernels::RowKernels* build : test::row_builds()) run_here.push_back(build->instruction_set);
  bench::print({{"row_kernels", compiled}, {"run_here", run_here}, {"used", kernels::instruction_set()}, {"bf16_products", kernels::cpu_has_bf16_products()},
                {"libtorch", at::get_cpu_capability()}});
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  std::string device_name = "cpu";
  if (const auto at = std::ranges::find(words, "--device"); at != words.end() && at + 1 != words.end()) {
    device_name = at[1];
    words.erase(at, at + 2);
  }
  const std::string mode = words.empty() ? "" : words.front();
  const std::set<std::string> wanted(words.begin() + !words.empty(), words.end()), modes = {"test", "grad", "perf", "support"};
  const bool is_known = device_name == "cpu" || device_name == "cuda" || (device_name == "emulated" && mode != "perf" && mode != "support");
  if (!modes.contains(mode) || !is_known) {
    std::fprintf(stderr, "usage: ops test|grad|perf|support [--device cpu|cuda|emulated] [OP...]\n");
    return 2;
  }
  if (device_name == "cuda" && find_cuda_devices().count == 0) {
    std::printf("no case looked at: %s\n", find_cuda_devices().reason.c_str());
    return kSkipped;
  }
  const at::Device device(device_name == "cuda" ? at::kCUDA : at::kCPU);
  if (device_name == "emulated") kernels::set_device_kernels(&test::emulated_kernels(), at::kCPU);
  if (device_name == "cuda") {
    const auto kernels_of = reinterpret_cast<const kernels::CudaKernels* (*)()>(cuda_symbol("uio_cuda_kernels"));
    if (kernels_of) kernels::set_device_kernels(kernels_of());
  }
  const std::vector<OpCases> table = op_table();
  for (const std::string& name : wanted) {
    if (std::ranges::any_of(table, [&](const OpCases& op) { return op.name == name; })) continue;
    std::fprintf(stderr, "ops: no op '%s'\n", name.c_str());
    return 2;
  }
  if (mode == "perf") bench::begin(false);
  if (mode == "support") {
    at::addGlobalCallback(at::RecordFunctionCallback(note_call).scopes({at::RecordScope::FUNCTION}));
    show_builds();
  }
  Verdict verdict;
  for (const OpCases& op : table) {
    if (!wanted.empty() && !wanted.contains(op.name)) continue;
    if (mode == "test") check_values(op, device, verdict);
    if (mode == "grad") check_slopes(op, device, device_name != "cpu", verdict);
    if (mode == "perf") device.is_cpu() ? time_costs(op) : time_costs(op, device);
    if (mode == "support") show_support(op);
  }
  return mode == "test" || mode == "grad" ? verdict.status() : 0;
}
