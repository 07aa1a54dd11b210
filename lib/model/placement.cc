#include "model/placement.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/error.h"
#include "kernels/device_check.h"
#include "kernels/policy.h"
#include "model/checkpoint.h"
#include "model/cuda_plugin.h"
#include "model/tensor.h"

namespace uio {
namespace {

// Hands the plugin's kernels down to the ops, once for each device.
void prepare_kernels(at::Device device, Host& host) {
  static std::vector<at::Device> prepared;
  if (kernels::is_reference_forced() || std::ranges::find(prepared, device) != prepared.end()) return;
  prepared.push_back(device);
  const auto get = reinterpret_cast<const kernels::CudaKernels* (*)()>(cuda_symbol("uio_cuda_kernels"));
  const kernels::CudaKernels* table = get ? get() : nullptr;
  if (table == nullptr || table->version != kernels::kCudaKernelsVersion) {
    host.note("device: " + device.str() + ": libuio_cuda.so is of another version: plain compositions used");
    return;
  }
  for (const std::string& fault : kernels::take_device_kernels(*table, device)) host.note("device: " + device.str() + ": " + fault);
}

// "auto:N" is not for people: it is how one of several processes on a machine says which GPU would be its own.
at::Device choose_device(const std::string& name, Host& host) {
  if (name == "cpu") return at::kCPU;
  const std::string kind = name.substr(0, name.find(':'));
  const char *begin = name.data() + kind.size(), *end = name.data() + name.size();
  int index = 0;
  bool is_good = kind == "auto" || kind == "cuda";
  if (is_good && begin != end) {
    const auto [stop, failed] = std::from_chars(begin + 1, end, index);
    is_good = failed == std::errc() && stop == end && index >= 0;
  }
  if (!is_good) throw Error(ErrorKind::kUsage, "bad device", name, "expected auto, cpu, cuda or cuda:N");
  const CudaDevices found = find_cuda_devices();
  if (index < found.count) {
    host.note("device: cuda:" + std::to_string(index));
    const at::Device device(at::kCUDA, static_cast<at::DeviceIndex>(index));
    prepare_kernels(device, host);
    return device;
  }
  if (kind != "auto" || found.count > 0) {
    const std::string reason = found.count > 0 ? "the machine has " + std::to_string(found.count) : found.reason;
    throw Error(ErrorKind::kDevice, "device not available", kind == "auto" ? "cuda:" + std::to_string(index) : name, reason);
  }
  host.note("device: cpu (" + found.reason + ")");
  return at::kCPU;
}

at::ScalarType checkpoint_dtype(const std::string& directory) {
  const Checkpoint checkpoint(directory);
  const auto found = checkpoint.tensors().find("model.embed_tokens.weight");
  return found == checkpoint.tensors().end() ? at::kFloat : scalar_type_of(found->second.dtype, found->first);
}

}  // namespace

Placement choose_placement(const ModelChoice& choice, Host& host) {
  if (choice.threads > 0) at::set_num_threads(choice.threads);  // otherwise LibTorch's own choice: the cores, or OMP_NUM_THREADS

  Placement placement;
  placement.device = choose_device(choice.device, host);
  if (choice.dtype == "auto") placement.stored = checkpoint_dtype(choice.model);
  else if (choice.dtype == "f32") placement.stored = at::kFloat;
  else if (choice.dtype == "bf16") placement.stored = at::kBFloat16;
  else if (choice.dtype == "f16") placement.stored = at::kHalf;
  else if (choice.dtype == "f64") placement.stored = at::kDouble;
  else throw Error(ErrorKind::kUsage, "bad dtype", choice.dtype, "expected auto, f32, bf16, f16 or f64");

  if (choice.weights != "stored" && choice.weights != "int8") throw Error(ErrorKind::kUsage, "bad weights", choice.weights, "expected stored or int8");
  placement.computed = placement.stored;
  placement.int8_weights = choice.weights == "int8";
  std::string rows;
  if (placement.device.is_cpu()) {
    const bool has_products = placement.stored != at::kBFloat16 || kernels::cpu_has_bf16_products();
    const bool is_narrow = placement.stored != at::kDouble && placement.int8_weights;
    if (placement.stored == at::kHalf || !has_products || is_narrow) placement.computed = at::kFloat;
    rows = std::string(", row kernels ") + kernels::instruction_set();
  }
  host.note(std::string("numbers: stored ") + c10::toString(placement.stored) + (placement.int8_weights ? ", weights int8" : "") + ", computed " +
            c10::toString(placement.computed) + rows);
  return placement;
}

}  // namespace uio
