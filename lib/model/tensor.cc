#include "model/tensor.h"

#include <ATen/ATen.h>

#include <cstdint>
#include <cstring>

#include "base/error.h"

namespace uio {

at::ScalarType scalar_type_of(DType dtype) {
  switch (dtype) {
    case DType::kF32: return at::kFloat;
    case DType::kBf16: return at::kBFloat16;
    case DType::kF16: return at::kHalf;
    case DType::kF64: return at::kDouble;
  }
  throw Error(ErrorKind::kInternal, "unknown dtype", "", "");
}

DType dtype_of(at::ScalarType type) {
  if (type == at::kFloat) return DType::kF32;
  if (type == at::kBFloat16) return DType::kBf16;
  if (type == at::kHalf) return DType::kF16;
  if (type == at::kDouble) return DType::kF64;
  throw Error(ErrorKind::kInternal, "no record holds this dtype", c10::toString(type), "");
}

at::ScalarType scalar_type_of(const std::string& name, const std::string& tensor) {
  if (name == "F32") return at::kFloat;
  if (name == "BF16") return at::kBFloat16;
  if (name == "F16") return at::kHalf;
  if (name == "F64") return at::kDouble;
  throw Error(ErrorKind::kMismatch, "unsupported tensor", tensor, "dtype " + name + " is not one of F32, BF16, F16, F64");
}

std::span<const std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), static_cast<std::size_t>(tensor.nbytes())};
}

at::Tensor view_of(const TensorView& view, const std::string& name) {
  const at::ScalarType type = scalar_type_of(view.dtype, name);
  void* data = const_cast<std::byte*>(view.bytes.data());
  const at::Tensor tensor = at::from_blob(data, view.shape, at::TensorOptions().dtype(type));
  // Elements may lie at any byte of a file; only aligned ones may be touched in place.
  if (reinterpret_cast<std::uintptr_t>(data) % c10::elementSize(type) == 0) return tensor;
  at::Tensor copy = at::empty(view.shape, tensor.options());
  std::memcpy(copy.data_ptr(), data, view.bytes.size());
  return copy;
}

at::Tensor load(const TensorView& view, const std::string& name, at::ScalarType dtype, at::Device device) {
  return view_of(view, name).to(device, dtype);
}

}  // namespace uio
