#include "fuzz/mutations.h"

#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include "base/endian.h"
#include "fuzz/frames_of.h"
#include "io/compression.h"
#include "io/safetensors.h"

namespace uio::fuzz {
namespace {

// Values at which lengths, counts and ranges turn over.
std::uint64_t edge_value(Random& random) {
  static constexpr std::uint64_t kEdges[] = {0,          1,
                                             2,          63,
                                             64,         127,
                                             128,        255,
                                             256,        4096,
                                             65535,      65536,
                                             1ull << 20, 1ull << 24,
                                             1 << 28,    0x7FFFFFFF,
                                             1ull << 31, 0xFFFFFFFF,
                                             1ull << 32, (1ull << 32) + 1,
                                             1ull << 40, (1ull << 63) - 1,
                                             1ull << 63, ~0ull - 1,
                                             ~0ull};
  const std::uint64_t value = kEdges[below(random, std::size(kEdges))];
  return below(random, 4) == 0 ? value + below(random, 5) - 2 : value;
}

std::string piece_of(const std::string& bytes, Random& random) {
  if (bytes.empty()) return {};
  const std::size_t begin = below(random, bytes.size());
  return bytes.substr(begin, 1 + below(random, std::min<std::size_t>(bytes.size() - begin, 1 + below(random, 400))));
}

void overwrite_number(std::string& bytes, std::size_t at, std::size_t width, std::uint64_t value) {
  for (std::size_t i = 0; i < width && at + i < bytes.size(); ++i) bytes[at + i] = static_cast<char>(value >> 8 * i);
}

void mutate_once(std::string& bytes, const std::string& other, Random& random) {
  if (bytes.empty()) {
    bytes = piece_of(other, random);
    return;
  }
  const std::size_t at = below(random, bytes.size());
  switch (below(random, 10)) {
    case 0:
    case 1:
    case 2:
      bytes[at] = static_cast<char>(bytes[at] ^ 1 << below(random, 8));
      break;
    case 3:
      bytes[at] = static_cast<char>(random());
      break;
    case 4:
      overwrite_number(bytes, at, std::array{1, 2, 4, 8}[below(random, 4)], edge_value(random));
      break;
    case 5:
      bytes.erase(at, 1 + below(random, 1 + below(random, 64)));
      break;
    case 6:
      bytes.insert(at, piece_of(bytes, random));
      break;
    case 7:
      bytes.insert(at, piece_of(other, random));
      break;
    case 8: {
      const std::string piece = piece_of(other, random);
      bytes.replace(at, std::min(piece.size(), bytes.size() - at), piece);
      break;
    }
    case 9:
      if (below(random, 4) == 0) {
        bytes.resize(at);
      } else {
        bytes.insert(at, 1 + below(random, 8), static_cast<char>(random()));
      }
      break;
  }
}

// One of the numbers at fixed places of a header.
void mutate_fixed(std::string& fixed, Random& random) {
  static constexpr std::array<std::array<std::size_t, 2>, 12> kFields = {
      {{0, 4}, {4, 4}, {8, 8}, {16, 1}, {17, 1}, {18, 1}, {19, 1}, {20, 4}, {24, 8}, {32, 8}, {40, 8}, {48, 8}}};
  const auto [at, width] = kFields[below(random, kFields.size())];
  if (below(random, 3) == 0) {
    fixed[at + below(random, width)] ^= static_cast<char>(1 << below(random, 8));
  } else {
    overwrite_number(fixed, at, width, at == 18 ? below(random, 7) : edge_value(random));
  }
}

// The length that the header declares for the decoded payload, moved to what some other header may imply.
void mutate_decoded(std::string& fixed, Random& random) {
  std::uint64_t value = load_le<std::uint64_t>(std::as_bytes(std::span(fixed)).data() + 40);
  value = below(random, 2) == 0 ? value * (1 + below(random, 4)) : value + below(random, 64) - 32;
  overwrite_number(fixed, 40, 8, value);
}

// A sound zstd frame of the wrong content, alone or behind what is there.
void mutate_payload(std::string& payload, Random& random) {
  std::vector<std::byte> content(below(random, 1 + below(random, 2000)));
  const bool is_constant = below(random, 2) == 0;
  for (auto& byte : content) byte = is_constant ? std::byte{1} : static_cast<std::byte>(random());
  std::vector<std::byte> frame;
  Compressor(1).append_frame(content, frame);
  const std::string text(reinterpret_cast<const char*>(frame.data()), frame.size());
  payload = below(random, 2) == 0 ? text : payload + text;
}

void mutate_frames(std::vector<RawFrame>& frames, const std::vector<RawFrame>& others, Random& random) {
  if (frames.empty()) return;
  const std::size_t at = below(random, frames.size());
  RawFrame& frame = frames[at];
  const RawFrame& other = others.empty() ? frame : others[below(random, others.size())];
  switch (below(random, 9)) {
    case 0:
      mutate_fixed(frame.fixed, random);
      break;
    case 1:
      mutate_decoded(frame.fixed, random);
      break;
    case 2:
    case 3:
      mutate_once(frame.map, other.map, random);
      break;
    case 4:
      mutate_once(frame.payload, other.payload, random);
      break;
    case 5:
      mutate_payload(frame.payload, random);
      break;
    case 6:
      frame.payload = other.payload;
      break;
    case 7:
      frames.insert(frames.begin() + static_cast<std::ptrdiff_t>(below(random, frames.size() + 1)), RawFrame(other));
      break;
    case 8:
      if (below(random, 2) == 0) {
        frames.erase(frames.begin() + static_cast<std::ptrdiff_t>(at));
      } else {
        std::swap(frame, frames[below(random, frames.size())]);
      }
      break;
  }
}

}  // namespace

void mutate_bytes(std::string& bytes, const std::string& other, Random& random) {
  for (std::size_t i = 1 + below(random, 1 + below(random, 8)); i != 0; --i) mutate_once(bytes, other, random);
}

Mutated mutate_stream(const std::vector<std::string>& corpus, Random& random) {
  const std::string& from = corpus[below(random, corpus.size())];
  const std::string& other = corpus[below(random, corpus.size())];
  if (below(random, 2) == 0) {
    std::string bytes = below(random, 8) == 0 ? from + other : from;
    mutate_bytes(bytes, other, random);
    return {std::move(bytes), false};
  }
  auto frames = take_apart(from);
  const auto others = take_apart(other);
  for (std::size_t i = 1 + below(random, 4); i != 0; --i) mutate_frames(frames, others, random);
  Repair repair;
  // Mostly whole, so that what lies behind each check is reached.
  repair.lengths = below(random, 8) != 0;
  repair.payloads = below(random, 16) != 0;
  repair.order = below(random, 16) != 0;
  repair.counts = below(random, 8) != 0;
  return {put_together(std::move(frames), repair), true};
}

std::string mutate_safetensors(const std::vector<std::string>& corpus, Random& random) {
  const std::string& other = corpus[below(random, corpus.size())];
  std::string file = corpus[below(random, corpus.size())];
  if (below(random, 2) == 0) {
    mutate_bytes(file, other, random);
    return file;
  }
  // Change the JSON, then make the length right.
  const std::uint64_t length = load_le<std::uint64_t>(std::as_bytes(std::span(file)).data());
  std::string header = file.substr(8, length), data = file.substr(8 + length);
  static const std::string kWords =
      "{}[]:,\"0123456789-.eE\\u0000 dtype shape data_offsets __metadata__ F32 BF16 F4 U8 I64 null true 18446744073709551615 "
      "9223372036854775807 \"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24] [0,0] [[[[[[";
  mutate_bytes(header, below(random, 2) == 0 ? kWords : other.substr(8), random);
  if (below(random, 4) == 0) mutate_bytes(data, other, random);
  std::string repaired(8, 0);
  store_le<std::uint64_t>(std::as_writable_bytes(std::span(repaired)).data(), header.size());
  return repaired + header + data;
}

std::vector<std::string> safetensors_corpus() {
  const auto write = [](std::vector<SafetensorsWriter::Entry> entries, const std::map<std::string, std::string>& metadata) {
    MemorySink sink;
    std::uint64_t bytes = 0;
    for (const auto& entry : entries) bytes += entry.bytes;
    SafetensorsWriter writer(sink, std::move(entries), metadata);
    writer.write(std::vector<std::byte>(bytes, std::byte{7}));
    return sink.bytes();
  };
  return {write({}, {}), write({{"a", "U8", {3}, 3}}, {{"format", "pt"}}),
          write({{"model.layers.0.weight", "F32", {2, 3}, 24},
                 {"b", "BF16", {4, 1}, 8},
                 {"scalar", "I64", {}, 8},
                 {"none", "F16", {0, 9}, 0}},
                {{"k", "v"}, {"w", "x"}}),
          write({{"f4", "F4", {4}, 2}, {"f6", "F6_E3M2", {8}, 6}, {"c", "C64", {2}, 16}}, {})};
}

}  // namespace uio::fuzz
