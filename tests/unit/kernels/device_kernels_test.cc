// How a device's kernels come into use: the bodies of the CUDA kernels, run by the CPU, in the place of a GPU's. The values
// that the ops have with them are tested by `ops test|grad --device emulated`.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "base/error.h"
#include "kernels/device_check.h"
#include "kernels/device_kernels.h"
#include "kernels/rms_norm.h"
#include "kernels/swiglu.h"
#include "unit/kernels/compare.h"
#include "unit/kernels/fibre_launch.h"

namespace uio::kernels {
namespace {

using test::emulated_kernels;
using test::normal;
using test::TakenBack;

int calls = 0;

TEST_CASE("kernels that hold are all put into use") {
  const TakenBack taken_back;
  CHECK(take_device_kernels(emulated_kernels(), at::kCPU) == std::vector<std::string>());
  const CudaKernels* used = device_kernels(at::empty({1}));
  REQUIRE(used != nullptr);
  CHECK(used->rms_norm == emulated_kernels().rms_norm);
  CHECK(used->rms_norm_slope == emulated_kernels().rms_norm_slope);
  CHECK(used->swiglu == emulated_kernels().swiglu);
  CHECK(used->swiglu_slope == emulated_kernels().swiglu_slope);
  CHECK(used->rotary == emulated_kernels().rotary);
  CHECK(used->merge == emulated_kernels().merge);
  CHECK(used->loss_rows == emulated_kernels().loss_rows);
  CHECK(used->int8_product == emulated_kernels().int8_product);
  CHECK(used->nearest_runs == emulated_kernels().nearest_runs);
}

TEST_CASE("kernels that are wrong, or fail, are left out and named; the ops then give what the plain compositions give") {
  const TakenBack taken_back;
  CudaKernels table = emulated_kernels();
  // One number of thousands is off by a little: the last one of an odd tail.
  table.swiglu_slope = [](const SwigluSlopeJob& job) {
    const int error = emulated_kernels().swiglu_slope(job);
    if (job.type == Number::kF32 && job.count % 2 == 1) static_cast<float*>(job.up_slope)[job.count - 1] += 0.01f;
    return error;
  };
  table.rms_norm = [](const RmsNormJob&) { return 700; };
  table.merge = [](const MergeJob& job) {
    MergeJob wrong = job;
    wrong.lses[job.count - 1] = job.lses[0];
    return emulated_kernels().merge(wrong);
  };
  table.loss_rows = [](const LossRowsJob& job) {
    const int error = emulated_kernels().loss_rows(job);
    if (job.rows == 3) job.values[2] = NAN;
    return error;
  };
  table.rotary = [](const RotaryJob& job) {  // different at every call, by less than its bound
    const int error = emulated_kernels().rotary(job);
    if (job.type == Number::kF32) static_cast<float*>(job.out)[0] += 1e-7f * static_cast<float>(++calls % 2);
    return error;
  };
  table.int8_product = [](const Int8ProductJob&) { return 0; };  // does nothing at all
  table.nearest_runs = [](const NearestRunsJob& job) {           // one number of a run that is not whole
    const int error = emulated_kernels().nearest_runs(job);
    job.numbers[job.matrices * job.rows * job.columns - 1] ^= job.rows == 33;
    return error;
  };
  const std::vector<std::string> faults = take_device_kernels(table, at::kCPU);
  REQUIRE(faults.size() == 7);
  CHECK_THAT(faults[0], Catch::StartsWith("kernel rms_norm fails: ") && Catch::Contains("700") &&
                            Catch::EndsWith(": plain composition used"));
  CHECK_THAT(faults[1], Catch::StartsWith("kernel swiglu differs by "));
  CHECK_THAT(faults[2], Catch::StartsWith("kernel rotary differs by inf"));
  CHECK_THAT(faults[3], Catch::StartsWith("kernel attention differs by "));
  CHECK_THAT(faults[4], Catch::StartsWith("kernel loss_rows differs by inf"));
  CHECK_THAT(faults[5], Catch::StartsWith("kernel int8_product differs by "));
  CHECK_THAT(faults[6], Catch::StartsWith("kernel nearest_runs differs by inf"));
  const CudaKernels* used = device_kernels(at::empty({1}));
  REQUIRE(used != nullptr);
  CHECK((!used->rms_norm && !used->rms_norm_slope && !used->swiglu && !used->swiglu_slope));
  CHECK((!used->rotary && !used->merge && !used->loss_rows && !used->int8_product && !used->nearest_runs));
  const at::Tensor x = normal({3, 9}, 1, at::kFloat), weight = normal({9}, 2, at::kFloat);
  CHECK(at::equal(rms_norm(x, weight, 1e-5, at::kFloat), rms_norm_reference(x, weight, 1e-5, at::kFloat)));
  CHECK(at::equal(swiglu(x.clone(), x), swiglu_reference(x, x)));
}

TEST_CASE("the ops go through the kernels in use, unless the plain compositions are forced") {
  const TakenBack taken_back;
  CudaKernels table = emulated_kernels();
  table.rms_norm = [](const RmsNormJob& job) {
    ++calls;
    return emulated_kernels().rms_norm(job);
  };
  const at::Tensor x = normal({3, 9}, 1, at::kFloat), weight = normal({9}, 2, at::kFloat);
  calls = 0;
  rms_norm(x, weight, 1e-5, at::kFloat);
  CHECK(calls == 0);
  set_device_kernels(&table, at::kCUDA);  // other tensors' device
  rms_norm(x, weight, 1e-5, at::kFloat);
  CHECK(calls == 0);
  set_device_kernels(&table, at::kCPU);
  rms_norm(x, weight, 1e-5, at::kFloat);
  rms_norm(x.clone().requires_grad_(true), weight, 1e-5, at::kBFloat16);
  add_rms_norm(x, x, weight, 1e-5, at::kFloat);
  CHECK(calls == 3);
  rms_norm(x.to(at::kDouble), weight.to(at::kDouble), 1e-5, at::kDouble);
  CHECK(calls == 3);
  const test::ForceReference forced;
  CHECK(device_kernels(x) == nullptr);
  rms_norm(x, weight, 1e-5, at::kFloat);
  CHECK(calls == 3);
}

TEST_CASE("what a kernel refuses is an error of the device, never a result") {
  const TakenBack taken_back;
  CudaKernels table = emulated_kernels();
  table.rms_norm = [](const RmsNormJob&) { return 2; };
  set_device_kernels(&table, at::kCPU);
  const at::Tensor x = normal({3, 9}, 1, at::kFloat);
  try {
    rms_norm(x, at::ones({9}), 1e-5, at::kFloat);
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kDevice);
    CHECK_THAT(error.what(), Catch::Contains("rms_norm") && Catch::Contains("CUDA error 2"));
  }
}

}  // namespace
}  // namespace uio::kernels
