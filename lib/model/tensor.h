// Mapped bytes and dtypes as tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <string>

#include "io/record.h"
#include "io/safetensors.h"

namespace uio {

at::ScalarType scalar_type_of(DType dtype);
// Throws Error{kInternal} for a type that no record can hold.
DType dtype_of(at::ScalarType type);
// "F32", "BF16", "F16", "F64" of safetensors; Error{kMismatch} naming `tensor` for others.
at::ScalarType scalar_type_of(const std::string& safetensors_dtype, const std::string& tensor);

// The numbers of a contiguous tensor on the CPU; valid while the tensor is.
std::span<const std::byte> bytes_of(const at::Tensor& tensor);
// A view of mapped bytes as they are: no copy, read-only, valid while the file is mapped.
at::Tensor view_of(const TensorView& view, const std::string& name);
// The same as `dtype` on `device`: the view itself where nothing has to change.
at::Tensor load(const TensorView& view, const std::string& name, at::ScalarType dtype, at::Device device);

}  // namespace uio
