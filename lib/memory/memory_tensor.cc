#include "memory/memory_tensor.h"

#include <ATen/ATen.h>

#include <cstring>

#include "base/error.h"
#include "kernels/nearest_runs.h"
#include "model/tensor.h"

namespace uio {
namespace {

std::vector<std::byte> copy_of(const at::Tensor& tensor) {
  const at::Tensor here = tensor.to(at::kCPU).contiguous();
  const std::span<const std::byte> bytes = bytes_of(here);
  return {bytes.begin(), bytes.end()};
}

at::Tensor tensor_of(const std::vector<std::byte>& bytes, const std::vector<std::int64_t>& shape, DType dtype) {
  at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(scalar_type_of(dtype)));
  if (tensor.nbytes() != bytes.size())
    throw Error(ErrorKind::kInternal, "memory of the wrong size", "", std::to_string(bytes.size()) + " bytes, expected " + std::to_string(tensor.nbytes()));
  std::memcpy(tensor.data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

void check(const Memory& memory, const char* what, const std::string& has, const std::string& wants) {
  if (has != wants)
    throw Error(ErrorKind::kMismatch, std::string("memory belongs to another ") + what,
                memory.span.document + "/" + std::to_string(memory.span.segment), "made with " + has + ", this one is " + wants);
}

void check(const Memory& memory, const char* what, std::int64_t has, std::int64_t wants) {
  if (has != wants)
    throw Error(ErrorKind::kMismatch, "memory does not fit the model", memory.span.document + "/" + std::to_string(memory.span.segment),
                std::to_string(has) + " " + what + ", the model has " + std::to_string(wants));
}

}  // namespace

Memory memory_header(const Segment& segment, const MemoryMethod& method, const Model& model, Form form) {
  const Adapter& adapter = method.adapter();
  Memory memory;
  memory.span = segment.span;
  memory.base = model.fingerprint();
  memory.tokenizer = segment.tokenizer;
  memory.adapter = adapter.fingerprint;
  memory.token_hash = token_hash(segment.tokens);
  memory.method = adapter.config.method;
  memory.form = form;
  memory.segment_length = adapter.config.segment_length;
  memory.token_count = static_cast<std::uint32_t>(segment.tokens.size());
  method.describe(memory);
  return memory;
}

RoundedTensor rounded_there(const at::Tensor& tensor, Along along, Precision precision) {
  if (precision == Precision::kExact || !kernels::has_nearest_runs(tensor)) return {};
  const RunSearch search = search_of(dtype_of(tensor.scalar_type()), precision);
  const auto found = kernels::nearest_runs(tensor, along == Along::kChannel, {search.scales, search.floor, search.greatest, search.least_share, search.most_tried});
  const at::Tensor numbers = found->numbers.to(at::kCPU), chosen = found->chosen.to(at::kCPU);
  const auto* number = numbers.const_data_ptr<std::int8_t>();
  const auto* scale = chosen.const_data_ptr<std::int16_t>();
  return {precision, {number, number + numbers.numel()}, {scale, scale + chosen.numel()}};
}

void set_tensors(Memory& memory, const at::Tensor& hidden, const at::Tensor& keys, const at::Tensor& values, Precision precision) {
  if (memory.form == Form::kKv) {
    memory.keys = copy_of(keys);
    memory.values = copy_of(values);
    memory.rounded_keys = rounded_there(keys, Along::kChannel, precision);
    memory.rounded_values = rounded_there(values, Along::kToken, precision);
  } else {
    memory.keys = copy_of(hidden);
    memory.rounded_keys = rounded_there(hidden, Along::kChannel, precision);
  }
}

Memory to_record(const Segment& segment, const MemoryMethod& method, const Model& model, Form form, const at::Tensor& hidden,
                 const at::Tensor& keys, const at::Tensor& values) {
  Memory memory = memory_header(segment, method, model, form);
  set_tensors(memory, hidden, keys, values);
  return memory;
}

at::Tensor hidden_from_record(const Memory& memory) {
  return tensor_of(memory.keys, {1, memory.layers, memory.memory_length, memory.head_size}, memory.dtype);
}

void check_record(const Memory& memory, const Model& model, const std::string& tokenizer, const MemoryMethod* method) {
  const ModelConfig& c = model.config();
  if (method) check(memory, "method", memory.method, method->adapter().config.method);
  else if (!find_method(memory.method).has_positions) check(memory, "method", memory.method, "without one");
  check(memory, "base model", memory.base, model.fingerprint());
  check(memory, "tokenizer", memory.tokenizer, tokenizer);
  if (method) check(memory, "adapter", memory.adapter, method->adapter().fingerprint);
  if (memory.form == Form::kHidden && !method)
    throw Error(ErrorKind::kUsage, "no adapter", model.directory(), "memories in hidden form need the adapter that made them");
  Memory wanted = memory;
  wanted.layers = static_cast<std::uint32_t>(c.layers);
  wanted.kv_heads = static_cast<std::uint32_t>(c.kv_heads);
  wanted.head_size = static_cast<std::uint32_t>(c.head_size);
  if (method) method->describe(wanted);
  const bool is_hidden = memory.form == Form::kHidden;
  check(memory, "layers", memory.layers, wanted.layers);
  check(memory, "KV heads", memory.kv_heads, wanted.kv_heads);
  check(memory, is_hidden ? "hidden size" : "head size", memory.head_size, wanted.head_size);
  check(memory, "memory tokens", memory.memory_length, wanted.memory_length);
}

KeysValues from_record(const Memory& memory, const Model& model, const std::string& tokenizer, const MemoryMethod* method) {
  check_record(memory, model, tokenizer, method);
  if (memory.form == Form::kHidden) return method->transfer(hidden_from_record(memory).to(model.placement().device));
  const std::vector<std::int64_t> shape = {1, memory.layers, memory.kv_heads, memory.memory_length, memory.head_size};
  return {tensor_of(memory.keys, shape, memory.dtype), tensor_of(memory.values, shape, memory.dtype)};
}

KeysValues as_kept(const KeysValues& memory, Precision precision) {
  return {as_kept(memory.keys, Along::kChannel, precision), as_kept(memory.values, Along::kToken, precision)};
}

at::Tensor as_kept(const at::Tensor& tensor, Along along, Precision precision) {
  if (precision == Precision::kExact) return tensor;
  const at::Tensor items = tensor.to(at::kCPU).contiguous(), kept = at::empty_like(items);
  const auto size = [&](std::int64_t dimension) { return static_cast<std::size_t>(items.size(dimension)); };
  const std::size_t matrix = size(-2) * size(-1), count = static_cast<std::size_t>(items.numel());
  const QuantisedShape shape{dtype_of(items.scalar_type()), precision, along, matrix == 0 ? 0 : count / matrix, size(-2), size(-1)};
  if (first_unfit(shape.dtype, bytes_of(items)))
    throw Error(ErrorKind::kData, "memory cannot be kept", name_of(precision), "it has a number that is not finite, or too large");
  std::vector<std::byte> parts(shape.bytes());
  ChangeTally change;
  quantise(shape, bytes_of(items), parts, change);
  dequantise(shape, parts, {static_cast<std::byte*>(kept.data_ptr()), kept.nbytes()});
  return kept.to(tensor.device());
}

}  // namespace uio
