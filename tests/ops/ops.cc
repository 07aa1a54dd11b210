// Walks through the table of ops: `ops MODE [OP...]`.
//   test     every case against the definition in f64, by the fast path and by the plain composition
//   grad     gradients against those of the definition in f64, and by differences where a case is small
//   perf     time of each timed case beside the bound of its bytes or its products, in the same run: a JSON line each
//   support  which row kernels were compiled, run here and are used; with which types each op calls no arithmetic but its own, and what it
//           calls of LibTorch's otherwise: a JSON line for each way that its cases go
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <set>

#include "bench/yardsticks.h"
#include "kernels/policy.h"
#include "ops/gradient_errors.h"
#include "ops/op_table.h"
#include "ops/row_builds.h"
#include "unit/kernels/force_reference.h"

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

void check_values(const OpCases& op, Verdict& verdict) {
  for (const Case& one : op.cases) {
    const Taken taken = take(one);
    const at::Tensor exact = one.slow(taken.wide);
    const double fast = test::mean_square_error(one.run(taken.narrow), exact);
    std::string error = fast < one.bound ? "" : with("differs by", fast);
    const test::ForceReference forced;
    const double plain = test::mean_square_error(one.run(taken.narrow), exact);
    if (!(plain < one.bound)) error += with(" the plain composition differs by", plain);
    verdict.add(op.name, one.name, error);
  }
}

void check_slopes(const OpCases& op, Verdict& verdict) {
  for (const Case& one : op.cases) {
    if (one.slope_bound == 0) continue;
    Tensors values;
    std::vector<at::ScalarType> dtypes;
    for (const Input& input : one.inputs()) {
      values.push_back(input.value);
      dtypes.push_back(input.dtype);
    }
    std::string error = test::gradient_error(one.run, one.slow, values, dtypes, one.slope_bound, one.any_threads);
    if (error.empty() && one.by_differences) error = test::difference_error(one.run, values);
    verdict.add(op.name, one.name, error);
  }
}

constexpr int kRuns = 7;

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
  const std::string mode = argc > 1 ? argv[1] : "";
  const std::set<std::string> wanted(argv + std::min(argc, 2), argv + argc), modes = {"test", "grad", "perf", "support"};
  if (!modes.contains(mode)) {
    std::fprintf(stderr, "usage: ops test|grad|perf|support [OP...]\n");
    return 2;
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
    if (mode == "test") check_values(op, verdict);
    if (mode == "grad") check_slopes(op, verdict);
    if (mode == "perf") time_costs(op);
    if (mode == "support") show_support(op);
  }
  return mode == "test" || mode == "grad" ? verdict.status() : 0;
}
