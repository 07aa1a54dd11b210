// How much the tokens of a document count in training's loss: a weight for each part of its text.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace uio {

// Weights of a document's bytes, and so of its tokens. A token has the weight of the part that holds its first byte; one that
// spans no byte has the weight of the byte before it, or of the first. A token that begins the document (BOS) has weight 0.
struct Weighting {
  struct Part {
    std::uint64_t byte_end;  // it begins where the one before it ends
    std::uint8_t weight;
    bool operator==(const Part&) const = default;
  };
  std::vector<Part> parts;  // their ends ascend; the last one's is the document's
  bool scores_end = false;  // the document also has the end-of-sequence token, with weight 1, where the tokenizer knows one
  bool operator==(const Weighting&) const = default;
};

// Looks up the weights of tokens, in the order in which they stand in the document.
class WeightCursor {
 public:
  explicit WeightCursor(Weighting weighting) : weighting_(std::move(weighting)) {}

  bool scores_end() const { return weighting_.scores_end; }
  // The weight of the token that spans [byte_begin, byte_end). Neither decreases from call to call.
  std::uint8_t weight(std::uint64_t byte_begin, std::uint64_t byte_end) {
    const std::uint64_t byte = byte_end > byte_begin ? byte_begin : std::max<std::uint64_t>(byte_begin, 1) - 1;
    while (part_ < weighting_.parts.size() && weighting_.parts[part_].byte_end <= byte) ++part_;
    return part_ < weighting_.parts.size() ? weighting_.parts[part_].weight : 0;
  }

 private:
  Weighting weighting_;
  std::size_t part_ = 0;
};

}  // namespace uio
