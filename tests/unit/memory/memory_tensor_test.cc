// Memories to and from records: every bit comes back, and nothing of another model does.
#include "memory/memory_tensor.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "io/compression.h"
#include "io/memory_codec.h"
#include "kernels/device_kernels.h"
#include "model/tensor.h"
#include "unit/kernels/fibre_launch.h"
#include "unit/memory/tiny_method.h"

namespace uio {
namespace {

using test::check_error;
using test::ids_tensor;
using test::random_ids;
using test::TinyMethod;

Segment segment_of(const std::vector<std::int32_t>& ids) {
  Segment segment;
  segment.span = {"book", 4, 48, 100, 150, false};
  segment.tokenizer = std::string(64, 't');
  segment.segment_length = 12;
  segment.tokens = ids;
  return segment;
}

struct Encoded {
  Segment segment = segment_of(random_ids(12, 41));
  at::Tensor hidden;
  KeysValues kv;
  Memory as(const TinyMethod& t, Form form) {
    hidden = t.method->encode(ids_tensor(segment.tokens));
    kv = t.method->transfer(hidden);
    return to_record(segment, *t.method, t.model, form, hidden[0], kv.keys[0], kv.values[0]);
  }
};

TEST_CASE("a record says everything that its use depends on") {
  const TinyMethod t(Json::object(), Json{{"memory_positions", "causal"}}, at::kFloat);
  Encoded e;
  const Memory memory = e.as(t, Form::kKv);
  CHECK(memory.span.document == "book");
  CHECK(memory.span.segment == 4);
  CHECK(memory.base == t.model.fingerprint());
  CHECK(memory.tokenizer == e.segment.tokenizer);
  CHECK(memory.adapter == t.method->adapter().fingerprint);
  CHECK(memory.token_hash == token_hash(e.segment.tokens));
  CHECK(memory.method == "uio");
  CHECK(memory.positions == "causal");
  CHECK(memory.dtype == DType::kF32);
  CHECK(memory.layers == 3);
  CHECK(memory.kv_heads == 2);
  CHECK(memory.head_size == 10);
  CHECK(memory.memory_length == 3);
  CHECK(memory.segment_length == 12);
  CHECK(memory.token_count == 12);
  CHECK(memory.keys.size() == 3 * 2 * 3 * 10 * 4);
  const Memory hidden = e.as(t, Form::kHidden);
  CHECK(hidden.kv_heads == 1);
  CHECK(hidden.head_size == 24);
  CHECK(hidden.keys.size() == 3 * 3 * 24 * 4);
  CHECK(hidden.values.empty());
}

TEST_CASE("both forms give the decoder the same keys and values, to the bit") {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const TinyMethod t(Json::object(), Json::object(), dtype);
    Encoded e;
    for (const Form form : {Form::kKv, Form::kHidden}) {
      const Memory memory = e.as(t, form);
      const KeysValues back = from_record(memory, t.model, e.segment.tokenizer, t.method.get());
      CHECK(at::equal(back.keys, e.kv.keys));
      CHECK(at::equal(back.values, e.kv.values));
    }
  }
}

TEST_CASE("keys and values of narrower numbers") {
  const test::TinyModel tiny;
  const Model model = tiny.load(at::kBFloat16, at::kFloat);
  const auto method = make_method(model, fresh_adapter(model, 12, 3));
  const Segment segment = segment_of(random_ids(12, 42));
  const at::Tensor hidden = method->encode(ids_tensor(segment.tokens));
  const KeysValues kv = method->transfer(hidden);
  const Memory memory = to_record(segment, *method, model, Form::kKv, hidden[0], kv.keys[0], kv.values[0]);
  CHECK(memory.dtype == DType::kBf16);
  CHECK(at::equal(from_record(memory, model, segment.tokenizer, method.get()).keys, kv.keys));
}

TEST_CASE("a memory of another base, tokenizer or adapter, or of other shapes, is refused with both values") {
  const TinyMethod t;
  Encoded e;
  const Memory sound = e.as(t, Form::kKv);
  const auto with = [&](const std::function<void(Memory&)>& change, const MemoryMethod* method) {
    Memory memory = sound;
    change(memory);
    from_record(memory, t.model, e.segment.tokenizer, method);
  };
  const std::string other(64, '9');
  for (const MemoryMethod* method :
       {static_cast<const MemoryMethod*>(t.method.get()), static_cast<const MemoryMethod*>(nullptr)}) {
    CHECK_NOTHROW(with([](Memory&) {}, method));
    check_error([&] { with([&](Memory& m) { m.base = other; }, method); }, ErrorKind::kMismatch,
                {"base model", "book/4", other, t.model.fingerprint()});
    check_error([&] { with([&](Memory& m) { m.tokenizer = other; }, method); }, ErrorKind::kMismatch,
                {"tokenizer", other, e.segment.tokenizer});
    check_error([&] { with([&](Memory& m) { m.layers = 2; }, method); }, ErrorKind::kMismatch, {"2 layers", "3"});
    check_error([&] { with([&](Memory& m) { m.kv_heads = 4; }, method); }, ErrorKind::kMismatch, {"4 KV heads", "2"});
    check_error([&] { with([&](Memory& m) { m.head_size = 12; }, method); }, ErrorKind::kMismatch, {"12 head size", "10"});
  }
  check_error([&] { with([&](Memory& m) { m.adapter = other; }, t.method.get()); }, ErrorKind::kMismatch,
              {"adapter", other, t.method->adapter().fingerprint});
  // Without a method at hand, finished keys and values need none; hidden states do.
  CHECK_NOTHROW(with([&](Memory& m) { m.adapter = other; }, nullptr));
  const Memory hidden = e.as(t, Form::kHidden);
  check_error([&] { from_record(hidden, t.model, e.segment.tokenizer, nullptr); }, ErrorKind::kUsage, {"adapter"});
  Memory wide = hidden;
  wide.head_size = 32;
  check_error([&] { from_record(wide, t.model, e.segment.tokenizer, t.method.get()); }, ErrorKind::kMismatch,
              {"32 hidden size", "24"});
}

TEST_CASE("the hash of tokens is of their 32 bits, little endian") {
  // echo -n '' | sha256sum; printf '\1\0\0\0\2\1\0\0' | sha256sum
  CHECK(token_hash({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(token_hash({1, 258}) == "fb8bbe2ad3ab5292f19bc5d75bbab9b5fbddc5a78ce47ab41b2d3d59bca08596");
}

// Bytes of the record with these tensors, in the hidden form `keys` alone; and whether a device found how they are kept.
std::vector<std::byte> kept_bytes(Memory memory, Precision precision, const at::Tensor& keys, const at::Tensor& values, bool& is_found_there) {
  set_tensors(memory, keys, keys, values, precision);
  is_found_there = memory.rounded_keys.precision == precision;
  memory.precision = precision;
  Compressor compressor(0);
  memory.tokenizer = token_hash(memory.tokens);  // as a fingerprint is written
  const EncodedMemory encoded = encode_memory(memory, compressor);
  std::vector<std::byte> bytes = encoded.map;
  bytes.insert(bytes.end(), encoded.payload.begin(), encoded.payload.end());
  return bytes;
}

TEST_CASE("what a device finds for memories that are kept less exactly gives the bytes that the CPU gives") {
  const TinyMethod t(Json::object(), Json::object(), at::kFloat);
  Encoded e;
  for (const Form form : {Form::kKv, Form::kHidden}) {
    const Memory header = e.as(t, form);
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      Memory memory = header;
      memory.dtype = dtype_of(dtype);
      memory.memory_length = 70;
      const bool is_kv = form == Form::kKv;
      const std::vector<std::int64_t> sizes = {memory.layers, memory.kv_heads, 70, memory.head_size};
      at::manual_seed(5);
      const auto tensor = [&] { return (at::randn(sizes) * at::randn(sizes).mul(2).exp()).to(dtype); };
      const at::Tensor keys = is_kv ? tensor() : tensor().select(1, 0), values = is_kv ? tensor() : at::Tensor();
      for (const Precision precision : {Precision::kInt8, Precision::kInt4}) {
        INFO(name_of(form) << ", " << dtype << ", " << name_of(precision));
        bool is_found_there = true;
        const std::vector<std::byte> wanted = kept_bytes(memory, precision, keys, values, is_found_there);
        CHECK_FALSE(is_found_there);
        const test::TakenBack taken_back;
        kernels::set_device_kernels(&test::emulated_kernels(), at::kCPU);
        const std::vector<std::byte> found = kept_bytes(memory, precision, keys, values, is_found_there);
        CHECK(is_found_there == (dtype != at::kHalf));
        CHECK((found == wanted));
      }
    }
  }
}

}  // namespace
}  // namespace uio
