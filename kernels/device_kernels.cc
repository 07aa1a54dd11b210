#include "kernels/device_kernels.h"

#include <optional>
#include <string>

#include "base/error.h"
#include "kernels/policy.h"

namespace uio::kernels {
namespace {

struct InUse {
  std::optional<CudaKernels> table;
  at::DeviceType type = at::kCUDA;
};
InUse in_use;

}  // namespace

void set_device_kernels(const CudaKernels* table, at::DeviceType type) {
  in_use = {table ? std::optional(*table) : std::nullopt, type};
}

const CudaKernels* device_kernels(const at::Tensor& x) {
  return in_use.table && x.device().type() == in_use.type && !is_reference_forced() ? &*in_use.table : nullptr;
}

Number number_of(const at::Tensor& x) { return x.scalar_type() == at::kBFloat16 ? Number::kBf16 : Number::kF32; }
bool has_number(at::ScalarType type) { return type == at::kFloat || type == at::kBFloat16; }

void fail_launch(const char* kernel, int error) {
  throw Error(ErrorKind::kDevice, "the device refused a kernel", kernel, "CUDA error " + std::to_string(error));
}

}  // namespace uio::kernels
