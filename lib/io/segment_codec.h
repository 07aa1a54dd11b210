// Segments as a frame's map and payload, and back (uio-stream(5), SEGMENT RECORDS).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "io/compression.h"
#include "io/header_map.h"
#include "io/record.h"

namespace uio {

// The fields of a span, shared by both kinds of records.
inline constexpr std::uint32_t kSpanFields = 6;
void add_span(HeaderMapWriter& map, const Span& span);
Span read_span(HeaderMapReader& map);

// A segment's map says how many tokens its payload has, and whether they have weights.
struct SegmentHeader {
  Segment segment;  // without tokens, weights and text
  std::uint32_t token_count = 0;
  std::optional<std::uint32_t> scored;  // tokens whose weight is not 0; nothing: the payload has no weights
  std::uint64_t text_bytes() const { return segment.span.byte_end - segment.span.byte_begin; }
  std::uint64_t decoded_bytes() const { return (scored ? 5ull : 4ull) * token_count + text_bytes(); }
};

// Throws Damage{kData} for an id that no token has.
void check_token_ids(std::span<const std::int32_t> tokens);

std::vector<std::byte> encode_segment_map(const Segment& segment);
// Throws Damage for a field that is missing, out of range or contradicts another.
SegmentHeader decode_segment_map(std::span<const std::byte> map);

std::vector<std::byte> encode_segment_payload(const Segment& segment, Compressor& compressor);
// Throws Damage unless `payload` holds exactly the tokens, the weights and the text that the header promises.
Segment decode_segment_payload(SegmentHeader header, std::span<const std::byte> payload, Expander& expander);

}  // namespace uio
