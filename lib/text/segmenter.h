// Text to segments of L tokens, or of at most L that end where the text says so, in memory that does not grow with the text.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/record.h"
#include "text/boundaries.h"
#include "text/documents.h"
#include "text/original_offsets.h"
#include "text/tokenizer.h"
#include "text/weighting.h"

namespace uio {

// Law: the `text` of a document's segments, joined, equals its bytes; the ids equal those of the whole text at once.
// A document is BOS (if any), its text's tokens, and EOS (if any) where its weighting asks for it; a document without any token
// is one empty segment (whose text may be spaces that the tokenizer drops). Segment i spans the bytes from where the one before
// ends to where its last token ends; the last one spans to the end of the document. BOS and EOS span no byte.
// Where segments end by content, each is closed but the last, which is the tail unless it is closed too: the end of a document is no end
// that its content asks for. Appending to a document then leaves its closed segments as they are.
// Where the tail has a length of its own, the segments before it are closed, and the last of those may be shorter than L.
using EmitSegment = std::function<void(Segment)>;

// Cuts one document that comes in pieces.
class DocumentSegmenter {
 public:
  // `tokenizer` must outlive it. With a weighting each segment has its tokens' weights. Throws Error{kUsage} when the segments' length
  // is 0.
  DocumentSegmenter(const Tokenizer& tokenizer, Cutting cutting, bool replace_invalid, std::string document,
                    std::optional<Weighting> weighting = std::nullopt);
  // Takes further bytes; they may end within a character. Emits each segment as soon as the next one has begun (so that
  // is_last is known). Throws Error{kData} with the offset for invalid UTF-8 unless it is to be replaced, and for 1 GiB in
  // which the tokenizer finds no place to cut; after that the object is useless.
  void add(std::string_view bytes, const EmitSegment& emit);
  // The document ends here: emits the rest, the last segment with is_last.
  void finish(const EmitSegment& emit);

 private:
  void add_chunk(std::string_view bytes, const EmitSegment& emit);
  void take_text(std::string_view bytes);
  void encode(std::size_t size, const EmitSegment& emit);
  void push(std::int32_t id, std::uint64_t byte_end, std::uint8_t weight, const EmitSegment& emit);
  std::size_t next_count() const;
  void emit_segment(std::size_t count, std::uint64_t byte_end, bool is_last, const EmitSegment& emit);

  const Tokenizer& tokenizer_;
  Cutting cutting_;
  bool replace_invalid_;
  std::string document_;

  std::string incoming_;              // bytes whose last character is cut
  std::string text_;                  // valid text without tokens yet
  std::uint64_t text_begin_ = 0;      // its offset in the text as the tokenizer sees it (after replacement)
  std::uint64_t incoming_begin_ = 0;  // offset of incoming_ in the document
  OriginalOffsets offsets_;           // from the former to the latter
  std::size_t try_at_;                // size of text_ at which a cut is tried
  bool at_start_ = true, is_begun_ = false;

  std::string kept_;  // the document's bytes from the last segment's end, and before it up to kept_used_ bytes already emitted
  std::size_t kept_used_ = 0;
  std::vector<std::int32_t> tokens_;   // not in a segment yet, at most L and the tail
  std::vector<std::uint8_t> weights_;  // of those tokens; empty without a weighting
  std::optional<BoundaryFinder> finder_;  // where segments end by content
  std::vector<std::uint64_t> byte_ends_;  // of those tokens, where segments may end before the last of them
  std::optional<WeightCursor> weighting_;
  std::uint64_t segment_ = 0, first_token_ = 0, byte_begin_ = 0, byte_end_ = 0;
};

// Cuts every document of `reader`.
class Segmenter {
 public:
  using Emit = EmitSegment;
  Segmenter(const Tokenizer& tokenizer, Cutting cutting, bool replace_invalid);
  void run(DocumentReader& reader, const Emit& emit);

 private:
  const Tokenizer& tokenizer_;
  Cutting cutting_;
  bool replace_invalid_;
};

// The segments of a text that is at hand.
std::vector<Segment> segment_text(const Tokenizer& tokenizer, Cutting cutting, const std::string& document,
                                  std::string_view text, bool replace_invalid = false);

}  // namespace uio
