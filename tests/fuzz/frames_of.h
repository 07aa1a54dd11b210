// Streams taken apart and put together without asking the reader: what a fuzzer needs to make damage that looks whole.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace uio::fuzz {

// A frame as it lies in a stream: the first 64 bytes of its header, the map and the payload. The header's checksum is left out.
struct RawFrame {
  std::string fixed, map, payload;
};

// The frames of a stream as far as their lengths make sense; what is left behind them is lost.
std::vector<RawFrame> take_apart(std::string_view stream);

// What to make right again when frames are put together. With all of it the reader gets as deep as its codecs.
struct Repair {
  bool lengths = true;   // of map, payload and skippable frame
  bool payloads = true;  // their checksums
  bool order = true;     // numbers and links
  bool counts = true;    // of end frames
};

std::string put_together(std::vector<RawFrame> frames, const Repair& repair);

// The sections that a sound stream consists of, each from the start to the end of its bytes.
std::vector<std::string> sections_of(std::string_view stream);

}  // namespace uio::fuzz
