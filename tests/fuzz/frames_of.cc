#include "fuzz/frames_of.h"

#include <span>

#include "base/endian.h"
#include "base/hash.h"
#include "io/frame.h"
#include "io/header_map.h"

namespace uio::fuzz {
namespace {

std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

template <typename T>
T get(std::string_view text, std::size_t at) {
  return load_le<T>(as_bytes(text).data() + at);
}

template <typename T>
void set(std::string& text, std::size_t at, T value) {
  store_le<T>(std::as_writable_bytes(std::span(text)).data() + at, value);
}

void repair_count(RawFrame& frame, std::uint64_t records) {
  HeaderMapWriter map(1);
  map.add_natural("records", records);
  const auto bytes = map.take();
  frame.map.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace

std::vector<RawFrame> take_apart(std::string_view stream) {
  std::vector<RawFrame> frames;
  while (stream.size() >= kFixedBytes + kChecksumBytes) {
    const std::uint64_t size = get<std::uint32_t>(stream, 4), stored = get<std::uint64_t>(stream, 32);
    const std::uint64_t header = size + kSkippableBytes;
    if (header < kFixedBytes + kChecksumBytes || header > stream.size() || stored > stream.size() - header) break;
    RawFrame frame;
    frame.fixed = stream.substr(0, kFixedBytes);
    frame.map = stream.substr(kFixedBytes, header - kFixedBytes - kChecksumBytes);
    frame.payload = stream.substr(header, stored);
    frames.push_back(std::move(frame));
    stream.remove_prefix(header + stored);
  }
  return frames;
}

std::string put_together(std::vector<RawFrame> frames, const Repair& repair) {
  std::string stream;
  std::uint64_t number = 0, link = 0;
  for (RawFrame& frame : frames) {
    const auto kind = static_cast<FrameKind>(frame.fixed[18]);
    if (kind == FrameKind::kStart) number = link = 0;
    if (repair.counts && kind == FrameKind::kEnd && number > 0) repair_count(frame, number - 1);
    if (repair.lengths) {
      set(frame.fixed, 4, static_cast<std::uint32_t>(kFixedBytes - kSkippableBytes + frame.map.size() + kChecksumBytes));
      set(frame.fixed, 20, static_cast<std::uint32_t>(frame.map.size()));
      set<std::uint64_t>(frame.fixed, 32, frame.payload.size());
    }
    if (repair.payloads) set(frame.fixed, 48, checksum(as_bytes(frame.payload)));
    if (repair.order) {
      set(frame.fixed, 24, number);
      set(frame.fixed, 56, link);
    }
    std::string header = frame.fixed + frame.map;
    link = checksum(as_bytes(header));
    ++number;
    header.resize(header.size() + kChecksumBytes);
    set(header, header.size() - kChecksumBytes, link);
    stream += header + frame.payload;
  }
  return stream;
}

std::vector<std::string> sections_of(std::string_view stream) {
  std::vector<std::string> sections;
  std::size_t begin = 0, end = 0;
  for (const RawFrame& frame : take_apart(stream)) {
    end += frame.fixed.size() + frame.map.size() + kChecksumBytes + frame.payload.size();
    if (static_cast<FrameKind>(frame.fixed[18]) != FrameKind::kEnd) continue;
    sections.emplace_back(stream.substr(begin, end - begin));
    begin = end;
  }
  return sections;
}

}  // namespace uio::fuzz
