#include "train/corpus.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "base/error.h"
#include "base/hash.h"
#include "base/random.h"
#include "text/segment_source.h"

namespace uio {

Corpus::Corpus(const std::vector<std::string>& inputs, const Tokenizer& tokenizer, std::uint32_t segment_length, std::uint32_t piece_segments,
               const DocumentOptions& options, Host& host, bool cuts_anew)
    : segment_length_(segment_length) {
  RecordSource source(inputs, tokenizer, segment_length, options, &host);
  std::uint32_t segments = 0;  // of the last piece
  std::string document;        // of the last segment
  std::uint64_t expected = 0;  // number of the next segment of it
  while (auto record = source.next()) {
    if (!std::holds_alternative<Segment>(*record))
      throw Error(ErrorKind::kMismatch, "cannot train on memories", source.input(), "record of '" + span_of(*record).document + "' is a memory, not a segment");
    const auto& segment = std::get<Segment>(*record);
    if (segment.is_closed && !cuts_anew)
      throw Error(ErrorKind::kMismatch, "segment closed by its content", source.input(), "training is on segments of one length",
                  "cut the text with --boundaries fixed");
    // A stream may hold a part of a document only (uio-inspect --cut), but no document with a gap.
    const bool is_new = pieces_.empty() || segment.span.document != document || segment.span.segment == 0;
    if (!is_new && segment.span.segment != expected)
      throw Error(ErrorKind::kData, "segments out of order", source.input(),
                  "'" + segment.span.document + "' goes on with segment " + std::to_string(segment.span.segment) + ", expected " + std::to_string(expected));
    if (is_new || (piece_segments > 0 && segments == piece_segments)) {
      pieces_.push_back({tokens_.size(), 0});
      segments = 0;
    }
    document = segment.span.document;
    expected = segment.span.segment + 1;
    ++segments;
    if (weights_.empty() && !segment.weights.empty()) weights_.assign(tokens_.size(), 1);
    tokens_.insert(tokens_.end(), segment.tokens.begin(), segment.tokens.end());
    if (!segment.weights.empty()) weights_.insert(weights_.end(), segment.weights.begin(), segment.weights.end());
    if (!weights_.empty()) weights_.resize(tokens_.size(), 1);
    pieces_.back().size += segment.tokens.size();
    if (segment_length == 0) segment_length_ = std::max(segment_length_, segment.segment_length);
    host.succeed();
    host.progress(tokens_.size(), 0, "tokens read");
  }
  std::erase_if(pieces_, [](const Piece& piece) { return piece.size < 2; });  // nothing to predict
  if (pieces_.empty()) throw Error(ErrorKind::kData, "nothing to train on", inputs.empty() ? "-" : inputs.front(), "no document of two tokens or more");
  Hasher hasher;
  hasher.add(std::as_bytes(std::span(tokens_)));
  hasher.add(std::as_bytes(std::span(weights_)));
  for (const Piece& piece : pieces_) hasher.add(std::as_bytes(std::span(&piece, 1)));
  fingerprint_ = hasher.hex();
}

DataOrder::DataOrder(std::vector<std::size_t> sizes, std::vector<double> weights, std::uint64_t seed, bool shuffle)
    : sizes_(std::move(sizes)), shares_(std::move(weights)), seed_(seed), shuffle_(shuffle), counts_(sizes_.size()), epochs_(sizes_.size()) {
  if (shares_.empty()) shares_.assign(sizes_.begin(), sizes_.end());
  const double sum = std::accumulate(shares_.begin(), shares_.end(), 0.0);
  for (double& share : shares_) share /= sum;
}

void DataOrder::resume(std::vector<std::uint64_t> counts) { counts_ = std::move(counts); }

DataOrder::Pick DataOrder::next() {
  const std::uint64_t number = std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
  std::size_t corpus = 0;
  if (sizes_.size() > 1) {
    double left = Random(seed_, "corpus", number).uniform();
    while (corpus + 1 < sizes_.size() && left >= shares_[corpus]) left -= shares_[corpus++];
  }
  const std::uint64_t size = sizes_[corpus], count = counts_[corpus]++, epoch = count / size;
  if (!shuffle_) return {corpus, count % size, number};
  Epoch& now = epochs_[corpus];
  if (now.number != epoch) {
    now.number = epoch;
    now.order.resize(size);
    std::iota(now.order.begin(), now.order.end(), 0u);
    Random random(seed_, "order of corpus " + std::to_string(corpus), epoch);
    for (std::size_t i = size; i > 1; --i) std::swap(now.order[i - 1], now.order[random.below(i)]);
  }
  return {corpus, now.order[count % size], number};
}

}  // namespace uio
