// Records and streams that the tests of lib/io share: small ones by hand, random ones from a seed.
#pragma once

#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "io/file.h"
#include "io/memory_codec.h"
#include "io/stream.h"

namespace uio::test {

inline std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

inline std::string digits(char digit) { return std::string(64, digit); }

inline Segment small_segment(std::uint64_t index = 0) {
  Segment segment;
  segment.span = {"a.txt", index, 4 * index, 5 * index, 5 * index + 5, false};
  segment.tokenizer = digits('a');
  segment.segment_length = 4;
  segment.tokens = {1, 15043, 2147483647};
  segment.text = "hello";
  return segment;
}

inline Segment weighted_segment(std::uint64_t index = 0) {
  Segment segment = small_segment(index);
  segment.weights = {0, 1, 255};
  return segment;
}

inline Memory small_memory(std::uint64_t index = 0, DType dtype = DType::kBf16, Form form = Form::kKv) {
  Memory memory;
  memory.span = {"a.txt", index, 4 * index, 5 * index, 5 * index + 5, false};
  memory.base = digits('1');
  memory.tokenizer = digits('2');
  memory.adapter = digits('3');
  memory.token_hash = digits('4');
  memory.method = "uio";
  memory.positions = "staged";
  memory.form = form;
  memory.dtype = dtype;
  memory.layers = 2;
  memory.kv_heads = form == Form::kHidden ? 1 : 2;
  memory.head_size = 3;
  memory.memory_length = 2;
  memory.segment_length = 4;
  memory.token_count = 4;
  memory.keys.resize(key_bytes(memory));
  memory.values.resize(value_bytes(memory));
  for (std::size_t i = 0; i < memory.keys.size(); ++i) memory.keys[i] = static_cast<std::byte>(i * 37 + index);
  for (std::size_t i = 0; i < memory.values.size(); ++i) memory.values[i] = static_cast<std::byte>(i * 73 + index + 1);
  return memory;
}

// With numbers, so that every precision can keep it: f32, 33 memory tokens, a channel of zeros and one that stands out.
inline Memory number_memory(Precision precision, std::uint64_t index = 0, Form form = Form::kKv) {
  Memory memory = small_memory(index, DType::kF32, form);
  memory.precision = precision;
  memory.memory_length = 33;
  memory.head_size = 7;
  memory.keys.resize(key_bytes(memory));
  memory.values.resize(value_bytes(memory));
  std::mt19937 random(static_cast<std::uint32_t>(index));
  for (auto* tensor : {&memory.keys, &memory.values}) {
    for (std::size_t i = 0; i < tensor->size(); i += 4) {
      const float size = i / 4 % 7 == 2 ? 0.0f : i / 4 % 7 == 5 ? 40.0f : 1.0f;
      const float value = size * (static_cast<float>(random() % 2001) / 1000.0f - 1.0f);
      std::memcpy(tensor->data() + i, &value, 4);
    }
  }
  return memory;
}

inline Provenance small_provenance() { return {{"uio-segment", "0.1.0", {{"segment-length", "4"}}}}; }

inline std::string make_stream(const std::vector<Record>& records, const Provenance& provenance = small_provenance(),
                               int level = 1) {
  MemorySink sink;
  RecordWriter writer(sink, provenance, {level});
  for (const Record& record : records) writer.write(record);
  writer.finish();
  return sink.bytes();
}

inline std::vector<Record> read_stream(std::string_view bytes) {
  const auto source = memory_source(as_bytes(bytes), "test.uio");
  RecordReader reader(*source);
  std::vector<Record> records;
  while (auto record = reader.next()) records.push_back(std::move(*record));
  return records;
}

// The status of the Error that `action` throws; 0 if none. Anything else that it throws goes through.
inline int status_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.status();
  }
  return 0;
}

inline int stream_status(std::string_view bytes) {
  return status_of([&] { read_stream(bytes); });
}

// The message of the Error that `action` throws; "" if none.
inline std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline bool same(const Span& a, const Span& b) {
  return a.document == b.document && a.segment == b.segment && a.first_token == b.first_token && a.byte_begin == b.byte_begin &&
         a.byte_end == b.byte_end && a.is_last == b.is_last;
}

inline bool same(const Segment& a, const Segment& b) {
  return same(a.span, b.span) && a.tokenizer == b.tokenizer && a.segment_length == b.segment_length &&
         a.is_closed == b.is_closed && a.tokens == b.tokens && a.weights == b.weights && a.text == b.text;
}

inline bool same(const Memory& a, const Memory& b) {
  return same(a.span, b.span) && a.base == b.base && a.tokenizer == b.tokenizer && a.adapter == b.adapter &&
         a.token_hash == b.token_hash && a.method == b.method && a.positions == b.positions && a.form == b.form &&
         a.precision == b.precision && a.dtype == b.dtype && a.layers == b.layers && a.kv_heads == b.kv_heads &&
         a.head_size == b.head_size && a.memory_length == b.memory_length && a.segment_length == b.segment_length &&
         a.token_count == b.token_count && a.key_error == b.key_error && a.value_error == b.value_error && a.keys == b.keys &&
         a.values == b.values;
}

inline bool same(const Record& a, const Record& b) {
  if (a.index() != b.index()) return false;
  if (const auto* segment = std::get_if<Segment>(&a)) return same(*segment, std::get<Segment>(b));
  return same(std::get<Memory>(a), std::get<Memory>(b));
}

inline bool same(const std::vector<Record>& a, const std::vector<Record>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Record& x, const Record& y) { return same(x, y); });
}

// Offsets at which the frames of a stream begin, and its end.
inline std::vector<std::size_t> frame_offsets(std::string_view stream) {
  std::vector<std::size_t> offsets;
  for (std::size_t at = 0; at < stream.size();) {
    offsets.push_back(at);
    std::uint32_t size;
    std::uint64_t stored;
    std::memcpy(&size, stream.data() + at + 4, 4);
    std::memcpy(&stored, stream.data() + at + 32, 8);
    at += 8 + size + stored;
  }
  offsets.push_back(stream.size());
  return offsets;
}

// The stream with one header changed and its checksums and the links after it made right again:
// what a hostile writer would send.
inline std::string forge(const std::string& stream, std::size_t frame, const std::function<void(std::string& header)>& change) {
  std::string forged;
  std::uint64_t link = 0;
  const auto offsets = frame_offsets(stream);
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    std::uint32_t size;
    std::memcpy(&size, stream.data() + offsets[i] + 4, 4);
    std::string header = stream.substr(offsets[i], size);
    const std::string payload = stream.substr(offsets[i] + 8 + size, offsets[i + 1] - offsets[i] - 8 - size);
    if (i > 0) std::memcpy(header.data() + 56, &link, 8);
    if (i == frame) change(header);
    link = checksum(as_bytes(header));
    header.append(reinterpret_cast<const char*>(&link), 8);
    forged += header + payload;
  }
  return forged;
}

}  // namespace uio::test
