// Frames out of a source, one at a time, with the order that a section promises (uio-stream(5), SECTIONS).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/file.h"
#include "io/frame.h"

namespace uio {

// A frame whose checksums held and that stood where it belongs.
struct Frame {
  FrameHeader header;
  std::vector<std::byte> payload;  // as stored; empty for a kind that this version skips
  std::uint64_t offset = 0, bytes = 0;
};

class FrameReader {
 public:
  enum class Order {
    kSections,  // start, records, end; again until the source ends
    kAny        // a single frame out of its stream, found through an index: numbers and links are not compared
  };
  explicit FrameReader(Source& source, Order order = Order::kSections) : source_(source), order_(order) {}

  // Goes to the next frame; false at the end of the source. Frames of an unknown kind that may be skipped are passed over.
  // Throws Error{kData} or Error{kMismatch} naming the source and the frame. Not usable after that.
  bool next();
  const Frame& frame() const { return frame_; }
  // Records so far, over all sections.
  std::uint64_t records() const { return records_; }
  // The current frame for people: "record 17" (counted over all sections), "start of section 2", "end of section 2".
  std::string place() const;
  // An Error of `kind` whose reason is the current frame and `reason`.
  [[noreturn]] void fail(ErrorKind kind, const std::string& reason) const;

 private:
  enum class Where { kStart, kRecord, kEnd };

  bool read_header();
  [[noreturn]] void fail_short(std::uint64_t need, std::uint64_t found) const;
  void check_order();
  void check_kind() const;
  void check_lengths() const;
  void read_payload();
  void skip_payload();
  void check_payload(std::uint64_t found) const;
  void count_frame();
  // Appends `size` bytes of the source to `to`, which grows only as they arrive.
  void read_bytes(std::vector<std::byte>& to, std::uint64_t size);

  Source& source_;
  Order order_;
  Frame frame_;
  std::vector<std::byte> header_;
  std::uint64_t position_ = 0;
  std::uint64_t sections_ = 0, records_ = 0;  // that went by, the current frame not counted until it is whole
  std::uint64_t number_ = 0, link_ = 0;       // what the next frame must have
  bool in_section_ = false;
  Where where_ = Where::kStart;  // the current frame, for messages
  std::uint64_t index_ = 0;
};

// Name of a kind in listings and messages: "start", "segment", "memory", "end".
const char* name_of(FrameKind kind);

}  // namespace uio
