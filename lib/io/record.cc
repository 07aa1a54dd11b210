#include "io/record.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <span>

#include "base/hash.h"

namespace uio {
namespace {

struct DTypeRow {
  DType dtype;
  std::size_t bytes;
  const char *name, *safetensors;
};
constexpr DTypeRow kDTypes[] = {{DType::kF32, 4, "f32", "F32"}, {DType::kBf16, 2, "bf16", "BF16"}, {DType::kF16, 2, "f16", "F16"}, {DType::kF64, 8, "f64", "F64"}};
constexpr DTypeRow kNoDType{{}, 0, "", ""};

const DTypeRow& row_of(DType dtype) {
  const auto found = std::ranges::find(kDTypes, dtype, &DTypeRow::dtype);
  return found == std::end(kDTypes) ? kNoDType : *found;
}

}  // namespace

std::optional<std::uint32_t> Segment::scored_count() const {
  if (weights.empty()) return std::nullopt;
  return static_cast<std::uint32_t>(weights.size() - std::ranges::count(weights, std::uint8_t{0}));
}

std::string token_hash(const std::vector<std::int32_t>& tokens) {
  static_assert(std::endian::native == std::endian::little);
  return sha256_hex(std::as_bytes(std::span(tokens)));
}

std::size_t item_bytes(DType dtype) { return row_of(dtype).bytes; }

const char* name_of(DType dtype) { return row_of(dtype).name; }

const char* safetensors_name(DType dtype) { return row_of(dtype).safetensors; }

const char* name_of(Form form) { return form == Form::kKv ? "kv" : "hidden"; }

const char* name_of(Precision precision) {
  return precision == Precision::kInt8 ? "int8" : precision == Precision::kInt4 ? "int4" : "exact";
}

const char* name_of(Layout layout) { return layout == Layout::kPlanes ? "planes" : "rows"; }

Precision precision_of(std::string_view name) {
  return name == "int8" ? Precision::kInt8 : name == "int4" ? Precision::kInt4 : Precision::kExact;
}

const Span& span_of(const Record& record) {
  return std::visit([](const auto& value) -> const Span& { return value.span; }, record);
}

}  // namespace uio
