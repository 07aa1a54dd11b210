#include "io/stream_size.h"

#include <utility>

#include "base/error.h"
#include "io/damage.h"
#include "io/frame.h"
#include "io/header_map.h"
#include "io/limits.h"
#include "io/memory_codec.h"
#include "io/segment_codec.h"

namespace uio {
namespace {

struct FrameSize {
  std::uint64_t map, payload;
};

}  // namespace

template <typename Measure>
void StreamSize::add_frame(const Measure& measure) {
  const std::uint64_t number = number_++;
  try {
    const FrameSize size = measure();
    if (size.map > kLongestMap)
      throw Damage{ErrorKind::kData, "has a header of " + std::to_string(size.map) + " bytes, at most " + std::to_string(kLongestMap) + " are allowed"};
    bytes_ += kFixedBytes + size.map + kChecksumBytes + size.payload;
  } catch (const Damage& damage) {
    throw Error(damage.kind, "cannot write", name_, "record " + std::to_string(number) + " " + damage.reason);
  }
}

void StreamSize::start(const Provenance& provenance) {
  number_ = 0;
  add_frame([&] {
    HeaderMapWriter map(1);
    map.add_provenance("provenance", provenance);
    const auto bytes = map.take();
    HeaderMapReader(bytes).provenance("provenance");
    return FrameSize{bytes.size(), 0};
  });
}

void StreamSize::add(const Segment& segment) {
  add_frame([&] {
    const auto map = encode_segment_map(segment);
    const std::uint64_t content = decode_segment_map(map).decoded_bytes();
    return FrameSize{map.size(), content == 0 ? 0 : Compressor::stored_bytes(content)};
  });
}

void StreamSize::add(const Memory& memory) {
  add_frame([&] {
    const Layout layout = layout_at(memory, level_ == 0);
    const auto map = encode_memory_map(memory, layout);
    decode_memory_map(map);
    return FrameSize{map.size(), stored_payload_bytes(memory, layout)};
  });
}

void StreamSize::finish() {
  add_frame([&] {
    HeaderMapWriter map(1);
    map.add_natural("records", number_ - 2);  // this frame and the first are none
    return FrameSize{map.take().size(), 0};
  });
}

}  // namespace uio
