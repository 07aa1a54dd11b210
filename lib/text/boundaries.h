// Where segments end: every L tokens, or where the text itself says so, so that an edit moves only the ends near it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>

namespace uio {

enum class Boundaries {
  kFixed,     // every L tokens
  kContent,   // after the tokens whose hash is the smallest in reach
  kParagraph  // the same among the ends of paragraphs in reach; where there is none, of lines; where there is none, of tokens
};

// How documents are cut.
struct Cutting {
  Cutting(std::uint32_t segment_length, Boundaries where = Boundaries::kFixed, std::uint32_t kept_tail = 0)
      : length(segment_length), boundaries(where), tail(where == Boundaries::kFixed ? kept_tail : 0) {}
  std::uint32_t length;  // L: the greatest of a segment
  Boundaries boundaries;
  // Of fixed ones: so many tokens at a document's end are its tail, at most L, and all before them is closed segments; 0: what L leaves over.
  std::uint32_t tail;
  // The smallest of a segment that its content closes: half of L, rounded up. All ends in between being equally likely, the mean is
  // three quarters of L.
  std::uint32_t least() const { return length - length / 2; }
};

// Ranks the tokens of a document by how well a segment ends after them. A rank depends on nothing but the token, the 15 before it and the
// white space that it ends: so two documents that share a stretch of text rank it alike, and as the best rank in reach is most often
// the same from wherever one looks, they soon share segments too. That is content-defined chunking by local minima (Bjørner, Blass,
// Gurevich, J. of Computer and System Sciences 76, 2010) over a Gear hash (Xia et al., FastCDC, USENIX ATC 2016) of token ids: unlike
// with a threshold, no end is ever forced at L where the text says nothing.
class BoundaryFinder {
 public:
  explicit BoundaryFinder(Cutting cutting) : cutting_(cutting) {}
  // The document's next token and its bytes.
  void add(std::int32_t id, std::string_view bytes);
  // How many of the first L tokens that were added and not dropped make the segment: from least() to L. Needs L of them.
  std::size_t best() const;
  // The first `count` tokens are a segment now.
  void drop(std::size_t count);

 private:
  // Smaller is better: first the kind of end, then the hash.
  struct Rank {
    std::uint8_t kind;
    std::uint64_t hash;
    auto operator<=>(const Rank&) const = default;
  };
  std::uint8_t kind_of_end(std::string_view bytes);

  Cutting cutting_;
  std::uint64_t hash_ = 0;     // of the last 16 tokens
  std::uint64_t newlines_ = 0;  // in the white space that the document so far ends with
  std::deque<Rank> ranks_;
};

}  // namespace uio
