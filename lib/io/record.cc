#include "io/record.h"

#include <algorithm>

namespace uio {

std::size_t item_bytes(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 4;
    case DType::kBf16:
    case DType::kF16:
      return 2;
    case DType::kF64:
      return 8;
  }
  return 0;
}

std::optional<std::uint32_t> Segment::scored_count() const {
  if (weights.empty()) return std::nullopt;
  return static_cast<std::uint32_t>(weights.size() - std::ranges::count(weights, std::uint8_t{0}));
}

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kBf16:
      return "bf16";
    case DType::kF16:
      return "f16";
    case DType::kF64:
      return "f64";
  }
  return "";
}

const char* safetensors_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kBf16:
      return "BF16";
    case DType::kF16:
      return "F16";
    case DType::kF64:
      return "F64";
  }
  return "";
}

const char* name_of(Form form) { return form == Form::kKv ? "kv" : "hidden"; }

const char* name_of(Precision) { return "exact"; }

const Span& span_of(const Record& record) {
  return std::visit([](const auto& value) -> const Span& { return value.span; }, record);
}

}  // namespace uio
