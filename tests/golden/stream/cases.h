// The golden streams of version 1 and the examples of the pages, as code: what the files beside this one were made from.
// `UIO_UPDATE_GOLDEN=1 unit_io "[golden]"` writes those that are missing and never changes one that is there: streams that were
// written once must stay readable, and what was refused once must stay refused.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "unit/io/samples.h"

namespace uio::test {

struct GoldenStream {
  std::string name, bytes;
  int status = 0;  // 0: in pass/, with its records as JSON; else in fail/
};

// The example of uio-stream(5).
inline std::vector<Record> stream_page_records() {
  Segment segment = small_segment();
  segment.tokens = {1, 22172, 13};
  segment.span.is_last = true;
  return {segment};
}

// The example of uio-memory(5).
inline std::vector<Record> memory_page_records() {
  Memory memory = small_memory();
  memory.layers = memory.kv_heads = 1;
  memory.head_size = memory.memory_length = 2;
  const auto bf16 = [](std::initializer_list<std::uint16_t> items) {
    const auto bytes = std::as_bytes(std::span(items.begin(), items.size()));
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  memory.keys = bf16({0x3F80, 0xC000, 0x3F00, 0x4040});
  memory.values = bf16({0x0000, 0x7F80, 0x8000, 0x7FC1});
  return {memory};
}

inline Provenance memory_page_provenance() {
  return {{"uio-segment", "0.1.0", {{"segment-length", "4"}}}, {"uio-compress", "0.1.0", {}}};
}

inline std::vector<GoldenStream> golden_streams() {
  const std::vector<Record> book = {small_memory(0), small_memory(1), small_segment(2)};
  const std::string blob = make_stream(book, memory_page_provenance());
  const auto offsets = frame_offsets(blob);
  const auto frames = [&](std::size_t a, std::size_t b) { return blob.substr(offsets[a], offsets[b] - offsets[a]); };
  const auto with_byte = [&](std::size_t frame, std::size_t at, int value) {
    return forge(blob, frame, [&](std::string& header) { header[at] = static_cast<char>(value); });
  };

  Segment empty = small_segment();
  empty.tokens.clear();
  empty.text.clear();
  empty.span = {"empty.txt", 0, 0, 0, 0, true};
  Segment closed = small_segment(3);
  closed.is_closed = true;
  closed.tokens.assign(100, 7);
  closed.span.document = "not utf-8 \xff\xfe";
  Segment full = small_segment(1);
  full.tokens.push_back(0);
  Memory plain = small_memory(9, DType::kF64, Form::kHidden);
  plain.adapter = "";
  plain.method = "icae";
  Memory many = small_memory(4, DType::kF32);
  many.layers = 3;
  many.kv_heads = 2;
  many.memory_length = 16;
  many.head_size = 32;
  many.keys.resize(key_bytes(many));
  many.values.resize(value_bytes(many));
  std::mt19937 random(1);
  for (auto* tensor : {&many.keys, &many.values}) {
    for (std::size_t i = 0; i < tensor->size(); i += 4) {
      const float value = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
      std::memcpy(tensor->data() + i, &value, 4);
    }
  }
  std::string flipped = blob, payload = blob;
  flipped[offsets[1] + 70] = static_cast<char>(flipped[offsets[1] + 70] ^ 4);
  payload[offsets[2] - 1] = static_cast<char>(payload[offsets[2] - 1] ^ 1);

  Segment prompt = weighted_segment(1);
  prompt.weights.assign(3, 0);
  const std::string weighted = make_stream({prompt, weighted_segment(2), small_segment(3)});
  const auto with_scored = [&](int value) {
    return forge(weighted, 2, [&](std::string& header) { header[header.find("scored") + 6] = static_cast<char>(value); });
  };

  const std::string int4 = make_stream({number_memory(Precision::kInt4, 1), number_memory(Precision::kInt4, 2, Form::kHidden)});
  const auto with_error = [&](int value) {  // the first bytes of the number: the largest of all, or none
    return forge(int4, 1, [&](std::string& header) {
      const std::size_t at = header.find("key_error") + 10;
      header[at] = static_cast<char>(value);
      header[at + 1] = static_cast<char>(value == 0x7F ? 0xEF : 0xFF);
    });
  };

  std::vector<GoldenStream> streams = {
      {"page-stream", make_stream(stream_page_records()), 0},
      {"page-memory", make_stream(memory_page_records(), memory_page_provenance()), 0},
      {"empty-section", make_stream({}, {}), 0},
      {"empty-document", make_stream({empty}), 0},
      {"segments", make_stream({full, closed, small_segment(7)}), 0},
      {"weights", weighted, 0},
      {"blob", blob, 0},
      {"two-sections", blob + make_stream({}) + make_stream({full}), 0},
      {"all-forms",
       make_stream({small_memory(0, DType::kF32), small_memory(1, DType::kF16), small_memory(2, DType::kF64),
                    small_memory(3, DType::kBf16, Form::kHidden), plain}),
       0},
      {"level-1", make_stream({many}), 0},
      {"level-19", make_stream({many}, small_provenance(), 19), 0},
      {"int8", make_stream({number_memory(Precision::kInt8, 1), number_memory(Precision::kInt8, 2, Form::kHidden)}), 0},
      {"int4", int4, 0},
      {"newer-minor", with_byte(0, 17, 9), 0},
      {"skippable-kind",
       forge(blob, 2,
             [](std::string& header) {
               header[18] = 99;
               header[19] = 1;
             }),
       0},

      {"zero-bytes", "", 3},
      {"text", "It was the best of times, it was the worst of times.\n", 3},
      {"cut-in-header", blob.substr(0, offsets[2] + 50), 3},
      {"cut-in-payload", blob.substr(0, offsets[2] - 3), 3},
      {"cut-between-records", frames(0, 2), 3},
      {"no-start", frames(1, 5), 3},
      {"cut-then-whole", frames(0, 3) + blob, 3},
      {"whole-then-cut", blob + frames(0, 4), 3},
      {"dropped-record", frames(0, 1) + frames(2, 5), 3},
      {"repeated-record", frames(0, 2) + frames(1, 5), 3},
      {"swapped-records", frames(0, 1) + frames(2, 3) + frames(1, 2) + frames(3, 5), 3},
      {"flipped-header-bit", flipped, 3},
      {"flipped-payload-bit", payload, 3},
      {"trailing-zero", blob + std::string(1, '\0'), 3},
      {"wrong-count", with_byte(4, 64 + 9, 2), 3},
      {"stored-too-long", with_byte(1, 39, 127), 3},
      {"decoded-too-long", with_byte(1, 47, 127), 3},
      {"decoded-other", with_byte(1, 40, 97), 3},
      {"wrong-scored", with_scored(3), 3},
      {"too-many-scored", with_scored(4), 3},
      {"error-beyond-1", with_error(0x7F), 3},
      {"error-not-a-number", with_error(0xFF), 3},
      {"newer-major", with_byte(0, 16, 2), 4},
      {"unknown-kind", with_byte(2, 18, 99), 4},
      {"unknown-flag", with_byte(2, 19, 2), 4},
      {"unknown-dtype", forge(blob, 1, [](std::string& header) { header.replace(header.find("bf16"), 4, "bf17"); }), 4},
      {"unknown-precision", forge(blob, 1, [](std::string& header) { header.replace(header.find("exact"), 5, "int4x"); }), 4},
      {"unknown-field", forge(blob, 1, [](std::string& header) { header.replace(header.find("method"), 6, "nethod"); }), 3},
  };
  return streams;
}

}  // namespace uio::test
