// Records into frames.
#include <utility>

#include "base/hash.h"
#include "io/compression.h"
#include "io/damage.h"
#include "io/frame.h"
#include "io/header_map.h"
#include "io/limits.h"
#include "io/memory_codec.h"
#include "io/segment_codec.h"
#include "io/stream.h"

namespace uio {

struct RecordWriter::State {
  State(Sink& sink, int level) : sink(sink), compressor(level) {}

  // Runs a codec; what it throws gets the name of the output and of the record.
  template <typename Codec>
  auto guard(const Codec& codec) const {
    try {
      return codec();
    } catch (const Damage& damage) {
      throw Error(damage.kind, "cannot write", sink.name(), "record " + std::to_string(number) + " " + damage.reason);
    }
  }

  void write_frame(FrameKind kind, std::span<const std::byte> map, std::span<const std::byte> payload,
                   std::uint64_t decoded_bytes) {
    FrameHeader header;
    header.kind = kind;
    header.number = number++;
    header.stored_bytes = payload.size();
    header.decoded_bytes = decoded_bytes;
    header.payload_checksum = checksum(payload);
    header.link = link;
    header.map.assign(map.begin(), map.end());
    if (map.size() > kLongestMap) {
      throw Damage{ErrorKind::kData, "has a header of " + std::to_string(map.size()) + " bytes, at most " +
                                         std::to_string(kLongestMap) + " are allowed"};
    }
    const std::vector<std::byte> bytes = encode_frame_header(header);
    link = header.checksum;
    sink.write(bytes);
    sink.write(payload);
    sink.flush();
  }

  void write_start(const Provenance& provenance) {
    HeaderMapWriter map(1);
    map.add_provenance("provenance", provenance);
    const auto bytes = map.take();
    // Reading back what was written finds what a reader would refuse, in one place for both.
    HeaderMapReader(bytes).provenance("provenance");
    write_frame(FrameKind::kStart, bytes, {}, 0);
  }

  void write_segment(const Segment& segment) {
    const auto map = encode_segment_map(segment);
    const SegmentHeader header = decode_segment_map(map);
    write_frame(FrameKind::kSegment, map, encode_segment_payload(segment, compressor), header.decoded_bytes());
  }

  void write_memory(const Memory& memory) {
    decode_memory_map(encode_memory_map(memory, layout_at(memory, compressor.stores())));
    const EncodedMemory encoded = encode_memory(memory, compressor);
    write_frame(FrameKind::kMemory, encoded.map, encoded.payload, payload_bytes(memory));
  }

  void write_end() {
    HeaderMapWriter map(1);
    map.add_natural("records", number - 1);
    write_frame(FrameKind::kEnd, map.take(), {}, 0);
  }

  Sink& sink;
  Compressor compressor;
  std::uint64_t number = 0, link = 0;
};

RecordWriter::RecordWriter(Sink& sink, Provenance provenance, StreamOptions options)
    : state_(std::make_unique<State>(sink, options.level)) {
  state_->guard([&] { state_->write_start(provenance); });
}

RecordWriter::~RecordWriter() = default;

void RecordWriter::write(const Segment& segment) {
  state_->guard([&] { state_->write_segment(segment); });
}

void RecordWriter::write(const Memory& memory) {
  state_->guard([&] { state_->write_memory(memory); });
}

void RecordWriter::write(const Record& record) {
  std::visit([&](const auto& value) { write(value); }, record);
}

void RecordWriter::write_raw(const RawRecord& record) {
  const FrameKind kind = record.is_memory ? FrameKind::kMemory : FrameKind::kSegment;
  state_->guard([&] { state_->write_frame(kind, record.map, record.payload, record.decoded_bytes); });
}

void RecordWriter::finish() {
  state_->guard([&] { state_->write_end(); });
}

}  // namespace uio
