// What a run trains on: documents out of segment streams or texts, cut into pieces, and the order in which they come. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/host.h"
#include "text/documents.h"
#include "text/tokenizer.h"

namespace uio {

// A document, or some consecutive segments of one: what one gradient is computed on.
struct Piece {
  std::uint64_t first = 0, size = 0;  // tokens, in the corpus
};

// The documents of one or several inputs. Held in memory: 4 bytes a token, 5 where tokens have weights.
class Corpus {
 public:
  // Reads `inputs` (segment streams, or texts that are cut into segments of `segment_length`; 0: as the streams are). Pieces of at
  // most `piece_segments` segments; 0: whole documents. `cuts_anew`: where segments end does not matter, so that any are taken. Throws what reading throws, and Error{kData} when there is no token at all.
  Corpus(const std::vector<std::string>& inputs, const Tokenizer& tokenizer, std::uint32_t segment_length, std::uint32_t piece_segments,
         const DocumentOptions& options, Host& host, bool cuts_anew = false);

  const std::vector<Piece>& pieces() const { return pieces_; }
  const std::int32_t* tokens(const Piece& piece) const { return tokens_.data() + piece.first; }
  // Weight of the i-th token of a piece.
  std::uint8_t weight(const Piece& piece, std::uint64_t i) const { return weights_.empty() ? 1 : weights_[piece.first + i]; }
  std::uint64_t token_count() const { return tokens_.size(); }
  // Length of its segments, in tokens; the greatest seen where none was asked for.
  std::uint32_t segment_length() const { return segment_length_; }
  // SHA-256 of everything that decides what is trained on.
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  std::vector<std::int32_t> tokens_;
  std::vector<std::uint8_t> weights_;  // empty: all 1
  std::vector<Piece> pieces_;
  std::uint32_t segment_length_ = 0;
  std::string fingerprint_;
};

// Which piece of which corpus comes next: drawn by weight, each corpus epoch by epoch in an order of its own. All of it follows from
// the seed and the counts, so that the counts are all there is to keep.
class DataOrder {
 public:
  struct Pick {
    std::size_t corpus, piece;
    std::uint64_t number;  // how many were picked before
  };
  // One size a corpus, all > 0. `weights`: relative, as many, or empty: by size.
  DataOrder(std::vector<std::size_t> sizes, std::vector<double> weights, std::uint64_t seed, bool shuffle);
  Pick next();
  // How many pieces each corpus gave so far.
  const std::vector<std::uint64_t>& counts() const { return counts_; }
  void resume(std::vector<std::uint64_t> counts);

 private:
  struct Epoch {
    std::uint64_t number = ~0ull;
    std::vector<std::uint32_t> order;
  };
  std::vector<std::size_t> sizes_;
  std::vector<double> shares_;
  std::uint64_t seed_;
  bool shuffle_;
  std::vector<std::uint64_t> counts_;
  std::vector<Epoch> epochs_;
};

}  // namespace uio
