// Streams of records: a start frame, records, an end frame with their count; sections may follow each other (`cat`).
// The bytes are specified in uio-stream(5) and uio-memory(5); this is their only reader and writer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "io/file.h"
#include "io/record.h"

namespace uio {

// True if the bytes begin like a stream of ours (a zstd skippable frame with our magic). Needs 16 bytes; fewer is no.
bool looks_like_stream(std::span<const std::byte> first_bytes);

// A record as it lies in a stream: for copying it into another one, byte for byte. The views are of the reader's memory and
// good until its next call.
struct RawRecord {
  bool is_memory = false;
  std::span<const std::byte> map, payload;
  std::uint64_t decoded_bytes = 0;
};

enum class StreamEvent { kStart, kRecord, kEnd };

// Reads records one at a time, holding one. Never seeks.
// Throws Error{kData} for every cut, flipped bit, dropped, repeated or reordered record, and for zero bytes;
// Error{kMismatch} for a major version it does not know. No allocation exceeds the bounds of uio-stream(5).
// Not usable after it has thrown.
class RecordReader {
 public:
  explicit RecordReader(Source& source);
  ~RecordReader();
  // The next record, or nothing after the last end frame. A record is returned only after its checksums held.
  // A caller that must not act on a stream that turns out to be cut reads to the end first.
  std::optional<Record> next();
  // The header alone, the payload checked against its checksum but not decoded (tensors, token ids, weights and text stay
  // empty).
  std::optional<Record> next_header();
  // One step at a time, for programs that show or copy what is there: the next start frame, record or end frame, or nothing
  // after the last. At a record, header() and decode() give it, as often as wanted.
  std::optional<StreamEvent> next_event();
  Record header() const;
  Record decode();
  // Of the current section: that of the last record.
  const Provenance& provenance() const;
  // Tokens of the last record's segment, also where next_header() left them out.
  std::uint32_t token_count() const;
  // How many of them have a weight that is not 0; nothing where they have no weights, and for memories.
  std::optional<std::uint32_t> scored_count() const;
  // Offset and length in bytes of the frame that was read last.
  std::uint64_t frame_offset() const;
  std::uint64_t frame_bytes() const;
  // The checksum in its header, which covers that of its payload and, by its link, all frames before it in its section.
  std::uint64_t frame_checksum() const;
  // What the last record's frame holds.
  RawRecord raw() const;

 private:
  friend Record read_single_record(std::span<const std::byte> frame, const std::string& name);
  struct State;
  std::unique_ptr<State> state_;
};

// The record whose frame is `frame`, cut out of a stream by an index. `name` is for messages.
Record read_single_record(std::span<const std::byte> frame, const std::string& name);

struct StreamOptions {
  int level = 1;  // zstd level of payloads; 0 stores them
};

// Writes one section. `provenance` is that of the input with the writer's own stage appended.
class RecordWriter {
 public:
  // Writes the start frame. Throws Error{kUsage} for a level beyond 0 to 22.
  RecordWriter(Sink& sink, Provenance provenance, StreamOptions options = {});
  ~RecordWriter();
  // Each throws Error{kData} for a record that no reader would take (an id that is too long), Error{kInternal} for one that
  // contradicts itself (a text of another length than its span, weights for another number of tokens), and flushes the sink.
  void write(const Segment& segment);
  void write(const Memory& memory);
  void write(const Record& record);
  // Copies a record without decoding it.
  void write_raw(const RawRecord& record);
  // Writes the end frame and flushes. Without it the section is not whole. Does not commit the sink.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace uio
