// Records out of frames.
#include <utility>

#include "io/damage.h"
#include "io/frame_reader.h"
#include "io/header_map.h"
#include "io/limits.h"
#include "io/memory_codec.h"
#include "io/segment_codec.h"
#include "io/stream.h"

namespace uio {

bool looks_like_stream(std::span<const std::byte> first_bytes) { return is_frame_start(first_bytes); }

struct RecordReader::State {
  explicit State(Source& source, FrameReader::Order order = FrameReader::Order::kSections) : frames(source, order) {}

  // Runs a codec; what it throws gets the name of the input and of the record.
  template <typename Codec>
  auto guard(const Codec& codec) const {
    try {
      return codec();
    } catch (const Damage& damage) {
      frames.fail(damage.kind, damage.reason);
    }
  }

  void check_decoded(std::uint64_t implied) const {
    const std::uint64_t declared = frames.frame().header.decoded_bytes;
    if (declared != implied) {
      throw Damage{ErrorKind::kData,
                   "declares " + std::to_string(declared) + " bytes, its header implies " + std::to_string(implied)};
    }
  }

  void read_start() {
    HeaderMapReader map(frames.frame().header.map);
    provenance = map.provenance("provenance");
    map.finish();
  }

  void read_end() const {
    HeaderMapReader map(frames.frame().header.map);
    const std::uint64_t records = map.natural("records", 0, kLargestOffset);
    map.finish();
    // Its own number says how many frames went by since the start.
    const std::uint64_t found = frames.frame().header.number - 1;
    if (records != found) {
      throw Damage{ErrorKind::kData, "counts " + std::to_string(records) + " records, found " + std::to_string(found)};
    }
  }

  void read_segment() {
    segment = decode_segment_map(frames.frame().header.map);
    check_decoded(segment.decoded_bytes());
    token_count = segment.token_count;
    is_memory = false;
  }

  void read_memory() {
    memory = decode_memory_map(frames.frame().header.map);
    check_decoded(payload_bytes(memory));
    token_count = memory.token_count;
    is_memory = true;
  }

  std::optional<StreamEvent> next_event() {
    if (!frames.next()) return std::nullopt;
    return guard([&] {
      switch (frames.frame().header.kind) {
        case FrameKind::kStart:
          read_start();
          return StreamEvent::kStart;
        case FrameKind::kEnd:
          read_end();
          return StreamEvent::kEnd;
        case FrameKind::kSegment:
          read_segment();
          break;
        case FrameKind::kMemory:
          read_memory();
          break;
      }
      return StreamEvent::kRecord;
    });
  }

  // Goes to the next record; false at the end.
  bool next_record() {
    for (;;) {
      const auto event = next_event();
      if (event != StreamEvent::kStart && event != StreamEvent::kEnd) return event.has_value();
    }
  }

  Record header() const { return is_memory ? Record(memory) : Record(segment.segment); }

  Record decode() {
    return guard([&]() -> Record {
      const auto& payload = frames.frame().payload;
      if (is_memory) return decode_memory_payload(memory, payload, expander);
      return decode_segment_payload(segment, payload, expander);
    });
  }

  FrameReader frames;
  Expander expander;
  Provenance provenance;
  SegmentHeader segment;
  Memory memory;
  std::uint32_t token_count = 0;
  bool is_memory = false;
};

RecordReader::RecordReader(Source& source) : state_(std::make_unique<State>(source)) {}
RecordReader::~RecordReader() = default;

std::optional<Record> RecordReader::next() {
  if (!state_->next_record()) return std::nullopt;
  return state_->decode();
}

std::optional<Record> RecordReader::next_header() {
  if (!state_->next_record()) return std::nullopt;
  return state_->header();
}

std::optional<StreamEvent> RecordReader::next_event() { return state_->next_event(); }
Record RecordReader::header() const { return state_->header(); }
Record RecordReader::decode() { return state_->decode(); }
std::optional<std::uint32_t> RecordReader::scored_count() const {
  return state_->is_memory ? std::nullopt : state_->segment.scored;
}
const Provenance& RecordReader::provenance() const { return state_->provenance; }
std::uint32_t RecordReader::token_count() const { return state_->token_count; }
std::uint64_t RecordReader::frame_offset() const { return state_->frames.frame().offset; }
std::uint64_t RecordReader::frame_bytes() const { return state_->frames.frame().bytes; }
std::uint64_t RecordReader::frame_checksum() const { return state_->frames.frame().header.checksum; }

RawRecord RecordReader::raw() const {
  const Frame& frame = state_->frames.frame();
  return {state_->is_memory, frame.header.map, frame.payload, frame.header.decoded_bytes};
}

Record read_single_record(std::span<const std::byte> frame, const std::string& name) {
  const auto source = memory_source(frame, name);
  RecordReader::State state(*source, FrameReader::Order::kAny);
  if (state.next_event() != StreamEvent::kRecord || state.frames.frame().bytes != frame.size()) {
    throw Error(ErrorKind::kData, "cannot read", name, "the index does not point to one record");
  }
  return state.decode();
}

}  // namespace uio
