// Bytes become whole characters (incoming_), those become text up to a place where the tokenizer can be cut (text_), that
// becomes tokens, and L tokens, or those up to a better end (boundaries.h), with the bytes that they span (kept_) become a segment.
#include "text/segmenter.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/error.h"
#include "text/utf8.h"

namespace uio {
namespace {

constexpr std::size_t kChunkBytes = 32u << 10;  // text encoded at once: small enough for the processor's caches
constexpr std::size_t kMaxUncutBytes = 1u << 30;

std::string describe_byte(std::string_view bytes, std::size_t at, std::uint64_t offset) {
  char hex[8];
  std::snprintf(hex, sizeof hex, "0x%02X", static_cast<unsigned char>(bytes[at]));
  return std::string("byte ") + hex + " at offset " + std::to_string(offset);
}

// The first `count` items, taken out of `items`.
template <typename T>
std::vector<T> take(std::vector<T>& items, std::size_t count) {
  if (count >= items.size()) return std::exchange(items, {});
  std::vector<T> taken(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(count));
  items.erase(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(count));
  return taken;
}

}  // namespace

DocumentSegmenter::DocumentSegmenter(const Tokenizer& tokenizer, Cutting cutting, bool replace_invalid, std::string document,
                                     std::optional<Weighting> weighting)
    : tokenizer_(tokenizer),
      cutting_(cutting),
      replace_invalid_(replace_invalid),
      document_(std::move(document)),
      try_at_(kChunkBytes) {
  if (weighting) weighting_.emplace(std::move(*weighting));
  if (cutting.boundaries != Boundaries::kFixed) finder_.emplace(cutting);
  if (cutting.length == 0) throw Error(ErrorKind::kUsage, "segment length is 0", "", "a segment needs at least one token");
}

void DocumentSegmenter::add(std::string_view bytes, const EmitSegment& emit) {
  for (; bytes.size() > kChunkBytes; bytes.remove_prefix(kChunkBytes)) add_chunk(bytes.substr(0, kChunkBytes), emit);
  add_chunk(bytes, emit);
}

void DocumentSegmenter::add_chunk(std::string_view bytes, const EmitSegment& emit) {
  kept_ += bytes;
  incoming_ += bytes;
  const std::size_t whole = whole_utf8_prefix(incoming_);
  take_text(std::string_view(incoming_).substr(0, whole));
  incoming_.erase(0, whole);
  incoming_begin_ += whole;

  if (text_.size() >= try_at_) {
    const std::size_t cut = tokenizer_.safe_cut(text_);
    if (cut > 0) {
      encode(cut, emit);
      try_at_ = kChunkBytes;
    } else if (text_.size() >= kMaxUncutBytes) {
      throw Error(ErrorKind::kData, "no place to cut", document_, "1 GiB of text that the tokenizer must see at once");
    } else {
      try_at_ = 2 * text_.size();  // looking for a cut reads it all: not again for every piece
    }
  }
  kept_.erase(0, std::exchange(kept_used_, 0));
}

void DocumentSegmenter::finish(const EmitSegment& emit) {
  take_text(incoming_);  // a character cut by the document's end is invalid now
  incoming_begin_ += incoming_.size();
  incoming_.clear();
  encode(text_.size(), emit);
  if (weighting_ && weighting_->scores_end() && tokenizer_.eos() >= 0) push(tokenizer_.eos(), byte_end_, 1, emit);
  while (cutting_.tail > 0 && tokens_.size() > cutting_.tail) {
    const std::size_t count = std::min<std::size_t>(cutting_.length, tokens_.size() - cutting_.tail);
    emit_segment(count, byte_ends_[count - 1], false, emit);
  }
  // Full, and so the place of its end is settled whatever would follow.
  if (finder_ && tokens_.size() == cutting_.length) {
    const std::size_t count = next_count();
    if (count < tokens_.size()) emit_segment(count, byte_ends_[count - 1], false, emit);
  }
  emit_segment(tokens_.size(), incoming_begin_, true, emit);
}

// Appends whole characters to the text, invalid ones replaced if that was asked for. `bytes` begins at incoming_begin_.
void DocumentSegmenter::take_text(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t invalid = find_invalid_utf8(bytes.substr(at));
    text_ += bytes.substr(at, invalid);
    if (invalid == std::string_view::npos) return;
    at += invalid;
    if (!replace_invalid_) {
      throw Error(ErrorKind::kData, "invalid UTF-8", document_, describe_byte(bytes, at, incoming_begin_ + at));
    }
    const std::size_t length = invalid_utf8_length(bytes, at);
    offsets_.add(text_begin_ + text_.size(), kReplacementCharacter.size(), incoming_begin_ + at, length);
    text_ += kReplacementCharacter;
    at += length;
  }
}

// Turns the first `size` bytes of the text into tokens.
void DocumentSegmenter::encode(std::size_t size, const EmitSegment& emit) {
  if (!std::exchange(is_begun_, true) && tokenizer_.bos() >= 0) push(tokenizer_.bos(), 0, 0, emit);
  if (size == 0) return;
  for (const Token& token : tokenizer_.encode(std::string_view(text_).substr(0, size), at_start_)) {
    const std::uint64_t end = offsets_.at(text_begin_ + token.byte_end);
    push(token.id, end, weighting_ ? weighting_->weight(byte_end_, end) : 1, emit);
  }
  at_start_ = false;
  text_begin_ += size;
  text_.erase(0, size);
}

void DocumentSegmenter::push(std::int32_t id, std::uint64_t byte_end, std::uint8_t weight, const EmitSegment& emit) {
  if (tokens_.size() == cutting_.length + cutting_.tail) {
    const std::size_t count = next_count();
    emit_segment(count, byte_ends_.empty() ? byte_end_ : byte_ends_[count - 1], false, emit);
  }
  if (finder_) finder_->add(id, std::string_view(kept_).substr(kept_used_ + (byte_end_ - byte_begin_), byte_end - byte_end_));
  if (finder_ || cutting_.tail > 0) byte_ends_.push_back(byte_end);
  tokens_.push_back(id);
  if (weighting_) weights_.push_back(weight);
  byte_end_ = byte_end;
}

// How many of the first L tokens make the next segment.
std::size_t DocumentSegmenter::next_count() const { return finder_ ? finder_->best() : cutting_.length; }

void DocumentSegmenter::emit_segment(std::size_t count, std::uint64_t byte_end, bool is_last, const EmitSegment& emit) {
  Segment segment;
  segment.span = {document_, segment_++, first_token_, byte_begin_, byte_end, is_last};
  segment.tokenizer = tokenizer_.fingerprint();
  segment.segment_length = cutting_.length;
  segment.text = kept_.substr(kept_used_, byte_end - byte_begin_);
  if (finder_) {
    segment.is_closed = !is_last || tokens_.size() == cutting_.length;
    finder_->drop(count);
  } else {
    segment.is_closed = cutting_.tail > 0 && !is_last;
  }
  take(byte_ends_, count);
  first_token_ += count;
  segment.tokens = take(tokens_, count);
  segment.weights = take(weights_, count);
  kept_used_ += byte_end - byte_begin_;
  byte_begin_ = byte_end;
  emit(std::move(segment));
}

Segmenter::Segmenter(const Tokenizer& tokenizer, Cutting cutting, bool replace_invalid)
    : tokenizer_(tokenizer), cutting_(cutting), replace_invalid_(replace_invalid) {}

void Segmenter::run(DocumentReader& reader, const Emit& emit) {
  while (const std::optional<std::string> document = reader.next_document()) {
    DocumentSegmenter segmenter(tokenizer_, cutting_, replace_invalid_, *document, reader.weighting());
    for (std::string piece = reader.next_piece(); !piece.empty(); piece = reader.next_piece()) segmenter.add(piece, emit);
    segmenter.finish(emit);
  }
}

std::vector<Segment> segment_text(const Tokenizer& tokenizer, Cutting cutting, const std::string& document, std::string_view text,
                                  bool replace_invalid) {
  std::vector<Segment> segments;
  const EmitSegment keep = [&](Segment segment) { segments.push_back(std::move(segment)); };
  DocumentSegmenter segmenter(tokenizer, cutting, replace_invalid, document);
  segmenter.add(text, keep);
  segmenter.finish(keep);
  return segments;
}

}  // namespace uio
