#include "io/frame_reader.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "io/damage.h"
#include "io/limits.h"

namespace uio {
namespace {

constexpr std::size_t kPieceBytes = 64 * 1024;
constexpr std::size_t kPrefixBytes = 16;
constexpr std::uint64_t kShortestHeader = kFixedBytes + kChecksumBytes;

bool is_known(FrameKind kind) { return kind >= FrameKind::kStart && kind <= FrameKind::kEnd; }

}  // namespace

const char* name_of(FrameKind kind) {
  switch (kind) {
    case FrameKind::kStart:
      return "start";
    case FrameKind::kSegment:
      return "segment";
    case FrameKind::kMemory:
      return "memory";
    case FrameKind::kEnd:
      return "end";
  }
  return "unknown";
}

std::string FrameReader::place() const {
  if (order_ == Order::kAny) return "record";
  const char* name = where_ == Where::kStart ? "start of section " : where_ == Where::kEnd ? "end of section " : "record ";
  return name + std::to_string(index_);
}

void FrameReader::fail(ErrorKind kind, const std::string& reason) const {
  throw Error(kind, "cannot read", source_.name(), place() + " " + reason);
}

void FrameReader::read_bytes(std::vector<std::byte>& to, std::uint64_t size) {
  const std::uint64_t target = to.size() + size;
  while (to.size() < target) {
    // Doubling: the cost stays linear, and a stream that ends early has made us take at most twice what it gave.
    const std::size_t begin = to.size();
    to.resize(begin + std::min<std::uint64_t>(target - begin, std::max(kPieceBytes, begin)));
    const std::size_t count = read_fully(source_, std::span(to).subspan(begin));
    position_ += count;
    if (count < to.size() - begin) {
      const std::uint64_t found = size - (target - begin - count);
      fail_short(size, found);
    }
  }
}

void FrameReader::fail_short(std::uint64_t need, std::uint64_t found) const {
  fail(ErrorKind::kData, "ends early (need " + std::to_string(need) + " bytes, found " + std::to_string(found) + ")");
}

bool FrameReader::read_header() {
  where_ = in_section_ ? Where::kRecord : Where::kStart;
  index_ = (in_section_ ? records_ : sections_) + 1;
  frame_.offset = position_;
  header_.resize(kPrefixBytes);
  const std::size_t count = read_fully(source_, header_);
  position_ += count;
  header_.resize(count);
  if (count == 0) {
    if (in_section_) fail(ErrorKind::kData, "or the end of section " + std::to_string(sections_ + 1) + " is missing");
    if (sections_ == 0 && order_ == Order::kSections) {
      throw Error(ErrorKind::kData, "cannot read", source_.name(), "is empty, not a stream of segments or memories");
    }
    return false;
  }
  if (!is_frame_start(header_)) {
    if (frame_.offset == 0 && !could_start_frame(header_)) {
      throw Error(ErrorKind::kData, "cannot read", source_.name(), "is not a stream of segments or memories");
    }
    if (count < kPrefixBytes) fail_short(kShortestHeader, count);
    fail(ErrorKind::kData, "does not begin with the mark of a frame (at byte " + std::to_string(frame_.offset) + ")");
  }
  const std::uint64_t bytes = frame_header_bytes(header_);
  if (bytes < kShortestHeader || bytes > kShortestHeader + kLongestMap) {
    fail(ErrorKind::kData, "has a header of " + std::to_string(bytes) + " bytes, expected " + std::to_string(kShortestHeader) +
                               " to " + std::to_string(kShortestHeader + kLongestMap));
  }
  read_bytes(header_, bytes - kPrefixBytes);
  try {
    frame_.header = decode_frame_header(header_);
  } catch (const Damage& damage) {
    fail(damage.kind, damage.reason);
  }
  if (frame_.header.kind == FrameKind::kEnd) {
    where_ = Where::kEnd;
    index_ = sections_ + 1;
  }
  return true;
}

void FrameReader::check_order() {
  if (order_ == Order::kAny) return;
  const FrameHeader& header = frame_.header;
  const bool is_start = header.kind == FrameKind::kStart;
  if (in_section_ && is_start) fail(ErrorKind::kData, "or the end of section " + std::to_string(sections_ + 1) + " is missing");
  if (!in_section_ && !is_start) {
    where_ = Where::kStart;
    fail(ErrorKind::kData, "is missing");
  }
  if (header.number != number_) {
    fail(ErrorKind::kData, "is out of order (it is number " + std::to_string(header.number) + " of its section, expected " +
                               std::to_string(number_) + ")");
  }
  if (header.link != link_) fail(ErrorKind::kData, "does not belong after the frame before it (link differs)");
}

void FrameReader::check_kind() const {
  const FrameHeader& header = frame_.header;
  const int known_flags = is_known(header.kind) ? 0 : kMaySkip;
  if (!is_known(header.kind) && (header.flags & kMaySkip) == 0) {
    fail(ErrorKind::kMismatch, "is of kind " + std::to_string(static_cast<int>(header.kind)) + ", this version knows 1 to 4");
  }
  if ((header.flags & ~known_flags) != 0) {
    fail(ErrorKind::kMismatch,
         "has flags " + std::to_string(header.flags) + ", this version knows " + std::to_string(known_flags));
  }
}

void FrameReader::check_lengths() const {
  const FrameHeader& header = frame_.header;
  const bool is_bracket = header.kind == FrameKind::kStart || header.kind == FrameKind::kEnd;
  const std::uint64_t most_decoded = is_bracket                           ? 0
                                     : header.kind == FrameKind::kSegment ? 4 * kMostTokens + kMostTextBytes
                                                                          : kMostMemoryBytes;
  const auto fail_length = [&](const char* which, std::uint64_t found, std::uint64_t most) {
    fail(ErrorKind::kData, std::string("has a ") + which + " payload of " + std::to_string(found) + " bytes, at most " +
                               std::to_string(most) + " are possible");
  };
  if (header.decoded_bytes > most_decoded) fail_length("decoded", header.decoded_bytes, most_decoded);
  const std::uint64_t most_stored = largest_stored(header.decoded_bytes);
  if (header.stored_bytes > most_stored) fail_length("stored", header.stored_bytes, most_stored);
  if (header.decoded_bytes > header.stored_bytes * kLargestRatio) {
    fail_length("decoded", header.decoded_bytes, header.stored_bytes * kLargestRatio);
  }
}

void FrameReader::check_payload(std::uint64_t found) const {
  if (found != frame_.header.payload_checksum) fail(ErrorKind::kData, "is damaged (payload checksum differs)");
}

void FrameReader::read_payload() {
  frame_.payload.clear();
  read_bytes(frame_.payload, frame_.header.stored_bytes);
  check_payload(checksum(frame_.payload));
}

void FrameReader::skip_payload() {
  Checksum sum;
  for (std::uint64_t left = frame_.header.stored_bytes; left != 0;) {
    frame_.payload.clear();
    read_bytes(frame_.payload, std::min<std::uint64_t>(left, kPieceBytes));
    sum.add(frame_.payload);
    left -= frame_.payload.size();
  }
  frame_.payload.clear();
  check_payload(sum.value());
}

void FrameReader::count_frame() {
  const FrameHeader& header = frame_.header;
  frame_.bytes = position_ - frame_.offset;
  in_section_ = header.kind != FrameKind::kEnd;
  if (header.kind == FrameKind::kEnd) {
    ++sections_;
    number_ = link_ = 0;
  } else {
    if (header.kind != FrameKind::kStart) ++records_;
    ++number_;
    link_ = header.checksum;
  }
}

bool FrameReader::next() {
  while (read_header()) {
    check_order();
    check_kind();
    check_lengths();
    is_known(frame_.header.kind) ? read_payload() : skip_payload();
    count_frame();
    if (is_known(frame_.header.kind)) return true;
  }
  return false;
}

}  // namespace uio
