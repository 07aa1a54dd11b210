// The two records that travel in streams, as plain values. Byte layout: uio-stream(5), uio-memory(5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace uio {

// Where a segment lies in its document. The same for the segment and for the memory made of it.
struct Span {
  std::string document;           // the document's id: a file's name as given, a JSON line's id, …
  std::uint64_t segment = 0;      // index in the document, from 0
  std::uint64_t first_token = 0;  // index of its first token in the document (BOS is 0)
  std::uint64_t byte_begin = 0;   // [byte_begin, byte_end) of the document's text; BOS spans no byte
  std::uint64_t byte_end = 0;
  bool is_last = false;  // no segment of this document follows
};

// L consecutive tokens of a document; fewer is the tail (tokens.size() < segment_length).
struct Segment {
  Span span;
  std::string tokenizer;             // fingerprint, 64 hexadecimal digits
  std::uint32_t segment_length = 0;  // L, in tokens
  bool is_closed = false;            // closed by its content: whole whatever its length (content-defined boundaries)
  std::vector<std::int32_t> tokens;
  // How much each token counts in training's loss (0: it is read, not scored), one a token; empty: each counts 1.
  std::vector<std::uint8_t> weights;
  std::string text;  // the document's bytes [byte_begin, byte_end), as they were
  bool is_full() const { return is_closed || tokens.size() == segment_length; }
  // Number of tokens whose weight is not 0; nothing where the tokens have no weights.
  std::optional<std::uint32_t> scored_count() const;
};

enum class Form : std::uint8_t { kKv, kHidden };
enum class Precision : std::uint8_t { kExact, kInt8, kInt4 };
// How the numbers of exact tensors lie in a payload: cut into planes of bytes, which compress; or one behind the other as in memory, so that they can be
// read where they are.
enum class Layout : std::uint8_t { kPlanes, kRows };
enum class DType : std::uint8_t { kF32, kBf16, kF16, kF64 };

std::size_t item_bytes(DType dtype);
const char* name_of(DType dtype);           // "f32", "bf16", "f16", "f64"
const char* safetensors_name(DType dtype);  // "F32", "BF16", "F16", "F64"
const char* name_of(Form form);             // "kv", "hidden"
const char* name_of(Precision precision);   // "exact", "int8", "int4"
const char* name_of(Layout layout);         // "planes", "rows"
// The value with that name. It must be one of those that name_of() gives.
Precision precision_of(std::string_view name);

// How far tensors are from what the model computed: the largest difference of two numbers, relative to the largest number, and
// the root mean square of the differences, relative to that of the numbers. Both 0 to 1.
struct StatedError {
  double largest = 0, rms = 0;
  bool operator==(const StatedError&) const = default;
};

// What a device found for a tensor that is kept in int8 or int4 (kernels/nearest_runs.h): the number of each item, and of each run the index of its scale among those
// allowed, -1 for 0. Exact: nothing; it is found when the record is written.
struct RoundedTensor {
  Precision precision = Precision::kExact;
  std::vector<std::int8_t> numbers;
  std::vector<std::int16_t> scales;
};

// What remains of one segment: per layer, keys and values (or hidden states) of its M memory tokens.
struct Memory {
  Span span;
  std::string base, tokenizer, adapter;  // fingerprints: weights + configuration, tokenizer, adapter
  std::string token_hash;                // SHA-256 of the segment's token ids (int32, little endian)
  std::string method;                    // "uio"
  std::string positions;                 // position scheme of the adapter that made it: "staged", "causal"
  Form form = Form::kKv;
  Precision precision = Precision::kExact;
  DType dtype = DType::kF32;
  Layout layout = Layout::kPlanes;  // in the stream that it was read from; what is written lies as its level has it
  std::uint32_t layers = 0;
  std::uint32_t kv_heads = 0;        // kv form: KV heads; hidden form: 1
  std::uint32_t head_size = 0;       // kv form: head size; hidden form: hidden size
  std::uint32_t memory_length = 0;   // M
  std::uint32_t segment_length = 0;  // L, in tokens
  std::uint32_t token_count = 0;     // tokens of the segment that was compressed
  // [layers, kv_heads, M, head_size], row-major, little endian, `dtype`. Keys are un-rotated.
  // Hidden form: `keys` holds the hidden states [layers, 1, M, hidden size] and `values` is empty.
  std::vector<std::byte> keys, values;
  RoundedTensor rounded_keys, rounded_values;  // not part of the record
  // The segment's token ids, where they are kept (has_tokens): by them it can be read again.
  bool has_tokens = false;
  std::vector<std::int32_t> tokens;
  // Of int8 and int4: as the header states them. What writing the record adds is added to them; exact memories have none.
  StatedError key_error, value_error;
};

// SHA-256 of token ids as int32, little endian, in hexadecimal digits.
std::string token_hash(const std::vector<std::int32_t>& tokens);

using Record = std::variant<Segment, Memory>;
const Span& span_of(const Record& record);

// One stage that a record's stream went through: program, version, and the options that affect bytes.
struct Stage {
  std::string program, version;
  std::vector<std::pair<std::string, std::string>> options;
  bool operator==(const Stage&) const = default;
};
using Provenance = std::vector<Stage>;

}  // namespace uio
