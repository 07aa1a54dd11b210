#include "io/segment_codec.h"

#include <cstring>
#include <string>

#include "io/damage.h"
#include "io/limits.h"

namespace uio {
namespace {

constexpr std::uint32_t kSegmentFields = kSpanFields + 4;

// Fills `items` from the front of `rest`.
template <typename T>
void take(std::span<const std::byte>& rest, std::vector<T>& items) {
  const std::size_t bytes = sizeof(T) * items.size();
  if (bytes != 0) std::memcpy(items.data(), rest.data(), bytes);
  rest = rest.subspan(bytes);
}

void check_scored(const Segment& segment, std::uint32_t promised) {
  const std::uint32_t found = segment.scored_count().value_or(0);
  if (found == promised) return;
  throw Damage{ErrorKind::kData,
               "has " + std::to_string(found) + " scored tokens, its header says " + std::to_string(promised)};
}

}  // namespace

void add_span(HeaderMapWriter& map, const Span& span) {
  map.add_bytes("document", span.document);
  map.add_natural("segment", span.segment);
  map.add_natural("first_token", span.first_token);
  map.add_natural("byte_begin", span.byte_begin);
  map.add_natural("byte_end", span.byte_end);
  map.add_boolean("is_last", span.is_last);
}

Span read_span(HeaderMapReader& map) {
  Span span;
  span.document = map.bytes("document", kLongestDocumentId);
  span.segment = map.natural("segment", 0, kLargestOffset);
  span.first_token = map.natural("first_token", 0, kLargestOffset);
  span.byte_begin = map.natural("byte_begin", 0, kLargestOffset);
  span.byte_end = map.natural("byte_end", span.byte_begin, kLargestOffset);
  span.is_last = map.boolean("is_last");
  return span;
}

void check_token_ids(std::span<const std::int32_t> tokens) {
  for (const std::int32_t token : tokens) {
    if (token < 0) throw Damage{ErrorKind::kData, "has the negative token id " + std::to_string(token)};
  }
}

std::vector<std::byte> encode_segment_map(const Segment& segment) {
  const std::optional<std::uint32_t> scored = segment.scored_count();
  HeaderMapWriter map(kSegmentFields + (scored ? 1 : 0));
  add_span(map, segment.span);
  map.add_fingerprint("tokenizer", segment.tokenizer);
  map.add_natural("segment_length", segment.segment_length);
  map.add_boolean("is_closed", segment.is_closed);
  map.add_natural("token_count", segment.tokens.size());
  if (scored) map.add_natural("scored", *scored);
  return map.take();
}

SegmentHeader decode_segment_map(std::span<const std::byte> bytes) {
  HeaderMapReader map(bytes);
  SegmentHeader header;
  Segment& segment = header.segment;
  segment.span = read_span(map);
  segment.tokenizer = map.fingerprint("tokenizer");
  segment.segment_length = static_cast<std::uint32_t>(map.natural("segment_length", 1, kMostTokens));
  segment.is_closed = map.boolean("is_closed");
  const std::uint64_t most = segment.is_closed ? kMostTokens : segment.segment_length;
  header.token_count = static_cast<std::uint32_t>(map.natural("token_count", 0, most));
  if (map.has("scored")) header.scored = static_cast<std::uint32_t>(map.natural("scored", 0, header.token_count));
  map.finish();
  if (header.text_bytes() > kMostTextBytes) {
    throw Damage{ErrorKind::kData, "has a text of " + std::to_string(header.text_bytes()) + " bytes, at most " +
                                       std::to_string(kMostTextBytes) + " are allowed"};
  }
  return header;
}

std::vector<std::byte> encode_segment_payload(const Segment& segment, Compressor& compressor) {
  const auto tokens = std::as_bytes(std::span(segment.tokens));
  const auto text = std::as_bytes(std::span(segment.text));
  if (text.size() != segment.span.byte_end - segment.span.byte_begin) {
    throw Damage{ErrorKind::kInternal, "has a text of " + std::to_string(text.size()) + " bytes, its span has " +
                                           std::to_string(segment.span.byte_end - segment.span.byte_begin)};
  }
  if (!segment.weights.empty() && segment.weights.size() != segment.tokens.size()) {
    throw Damage{ErrorKind::kInternal, "has " + std::to_string(segment.weights.size()) + " weights, its tokens are " +
                                           std::to_string(segment.tokens.size())};
  }
  const auto weights = std::as_bytes(std::span(segment.weights));
  std::vector<std::byte> content(tokens.begin(), tokens.end());
  content.insert(content.end(), weights.begin(), weights.end());
  content.insert(content.end(), text.begin(), text.end());
  std::vector<std::byte> payload;
  if (!content.empty()) compressor.append_frame(content, payload);
  return payload;
}

Segment decode_segment_payload(SegmentHeader header, std::span<const std::byte> payload, Expander& expander) {
  std::vector<std::byte> content(header.decoded_bytes());
  if (!content.empty()) expander.expand_frame(payload, content);
  if (!payload.empty()) throw Damage{ErrorKind::kData, "has " + std::to_string(payload.size()) + " bytes after its payload"};
  Segment& segment = header.segment;
  std::span<const std::byte> rest = content;
  segment.tokens.resize(header.token_count);
  take(rest, segment.tokens);
  if (header.scored) {
    segment.weights.resize(header.token_count);
    take(rest, segment.weights);
    check_scored(segment, *header.scored);
  }
  check_token_ids(segment.tokens);
  segment.text.assign(reinterpret_cast<const char*>(rest.data()), rest.size());
  return std::move(segment);
}

}  // namespace uio
