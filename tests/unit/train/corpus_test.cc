// What is trained on: pieces of documents out of streams, and the order in which they come.
#include "train/corpus.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "io/stream.h"
#include "text/sentencepiece_tokenizer.h"
#include "train/batches.h"
#include "unit/model/tiny.h"
#include "unit/text/fixtures.h"
#include "unit/text/recording_host.h"

namespace uio {
namespace {

struct Text {
  std::vector<std::int32_t> tokens;
  std::vector<std::uint8_t> weights = {};  // empty: each counts 1
};

class Streams {
 public:
  Streams() : tokenizer_(make_sentencepiece_tokenizer(text_test::read_file(text_test::golden() / "bpe-bytes" / "tokenizer.model"), {}, "tokenizer.model")) {}

  // A stream of documents in segments of `length` tokens; returns its path.
  std::string write(const std::vector<Text>& texts, std::uint32_t length, const std::function<void(std::vector<Segment>&)>& change = [](auto&) {}) {
    std::vector<Segment> segments;
    for (std::size_t d = 0; d < texts.size(); ++d)
      for (std::size_t begin = 0; begin < texts[d].tokens.size(); begin += length) {
        const std::size_t end = std::min(texts[d].tokens.size(), begin + length);
        Segment segment;
        segment.span = {"text" + std::to_string(d), begin / length, begin, 0, 0, end == texts[d].tokens.size()};
        segment.tokenizer = tokenizer_->fingerprint();
        segment.segment_length = length;
        segment.tokens.assign(texts[d].tokens.begin() + static_cast<std::ptrdiff_t>(begin), texts[d].tokens.begin() + static_cast<std::ptrdiff_t>(end));
        if (!texts[d].weights.empty())
          segment.weights.assign(texts[d].weights.begin() + static_cast<std::ptrdiff_t>(begin), texts[d].weights.begin() + static_cast<std::ptrdiff_t>(end));
        segments.push_back(segment);
      }
    change(segments);
    MemorySink sink;
    RecordWriter writer(sink, {{"uio-segment", "9", {}}});
    for (const Segment& segment : segments) writer.write(segment);
    writer.finish();
    return scratch_.write("stream" + std::to_string(scratch_.count()), sink.bytes());
  }
  Corpus read(const std::string& path, std::uint32_t length = 4, std::uint32_t pieces = 0) {
    text_test::RecordingHost host;
    return Corpus({path}, *tokenizer_, length, pieces, {}, host);
  }
  const Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  std::unique_ptr<Tokenizer> tokenizer_;
  test::Scratch scratch_;
};

std::vector<std::vector<std::int32_t>> pieces_of(const Corpus& corpus) {
  std::vector<std::vector<std::int32_t>> pieces;
  for (const Piece& piece : corpus.pieces()) pieces.emplace_back(corpus.tokens(piece), corpus.tokens(piece) + piece.size);
  return pieces;
}

using Pieces = std::vector<std::vector<std::int32_t>>;

const std::vector<Text> kTexts = {{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}, {{11, 12, 13}}, {{14, 15, 16, 17, 18}}};

// The lengths of the texts of each batch.
std::vector<std::vector<std::size_t>> lengths_of(const std::vector<Batch>& batches) {
  std::vector<std::vector<std::size_t>> lengths(batches.size());
  for (std::size_t i = 0; i < batches.size(); ++i)
    for (const Document& document : batches[i].documents) lengths[i].push_back(document.ids.size());
  return lengths;
}

TEST_CASE("texts of about one length are computed side by side, longest first") {
  Streams streams;
  std::vector<Text> texts;
  for (const std::size_t size : {1900, 300, 2048, 2040, 100, 1500, 1700, 40}) texts.push_back({std::vector<std::int32_t>(size, 5)});
  const std::vector<Corpus> corpora = {streams.read(streams.write(texts, 2048), 2048)};
  std::vector<DataOrder::Pick> picks;
  for (std::size_t i = 0; i < texts.size(); ++i) picks.push_back({0, i, i});
  PlanSettings settings;
  settings.has_memories = false;
  settings.segment_length = 2048;
  using Lengths = std::vector<std::vector<std::size_t>>;
  CHECK(lengths_of(batches_of(picks, corpora, settings, 0)) == Lengths{{2048, 2040}, {1900, 1700}, {1500}, {300, 100}, {40}});
  CHECK(lengths_of(batches_of(picks, corpora, settings, 3)) == Lengths{{2048, 2040, 1900}, {1700, 1500, 300}, {100, 40}});
  CHECK(lengths_of(batches_of(picks, corpora, settings, 1)).size() == 8);
}

TEST_CASE("pieces are documents, or some segments of one") {
  Streams streams;
  const std::string path = streams.write(kTexts, 4);
  CHECK(pieces_of(streams.read(path)) == Pieces{kTexts[0].tokens, kTexts[1].tokens, kTexts[2].tokens});
  CHECK(pieces_of(streams.read(path, 4, 2)) == Pieces{{1, 2, 3, 4, 5, 6, 7, 8}, {9, 10}, {11, 12, 13}, {14, 15, 16, 17, 18}});
  CHECK(pieces_of(streams.read(path, 4, 1)) == Pieces{{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10}, {11, 12, 13}, {14, 15, 16, 17}});  // 18 alone predicts nothing
  CHECK(streams.read(path).token_count() == 18);
  CHECK(streams.read(path).segment_length() == 4);
  CHECK(streams.read(path, 0).segment_length() == 4);
  CHECK(pieces_of(streams.read(path, 0)) == pieces_of(streams.read(path)));
  const Corpus corpus = streams.read(path);
  for (std::uint64_t i = 0; i < 10; ++i) CHECK(corpus.weight(corpus.pieces()[0], i) == 1);
}

TEST_CASE("weights stay with their tokens, and tokens without any count 1") {
  Streams streams;
  for (const std::size_t weighted : {0, 1, 2}) {
    std::vector<Text> texts = kTexts;
    for (const std::int32_t token : texts[weighted].tokens) texts[weighted].weights.push_back(static_cast<std::uint8_t>(token % 3));
    const std::string path = streams.write(texts, 4);
    for (const std::uint32_t pieces : {0, 1, 2}) {
      const Corpus corpus = streams.read(path, 4, pieces);
      for (const Piece& piece : corpus.pieces())
        for (std::uint64_t i = 0; i < piece.size; ++i) {
          const std::int32_t token = corpus.tokens(piece)[i];
          const bool has_weight = std::find(texts[weighted].tokens.begin(), texts[weighted].tokens.end(), token) != texts[weighted].tokens.end();
          CHECK(corpus.weight(piece, i) == (has_weight ? token % 3 : 1));
        }
    }
  }
}

TEST_CASE("the fingerprint is that of tokens, weights and pieces") {
  Streams streams;
  const std::string path = streams.write(kTexts, 4);
  const std::string plain = streams.read(path).fingerprint();
  CHECK(streams.read(path).fingerprint() == plain);
  CHECK(plain.size() == 64);
  std::set<std::string> all = {plain, streams.read(path, 4, 1).fingerprint(), streams.read(path, 4, 2).fingerprint()};
  std::vector<Text> other = kTexts;
  other[2].tokens[4] = 19;
  all.insert(streams.read(streams.write(other, 4)).fingerprint());
  other = kTexts;
  other[1].weights = {1, 0, 1};
  all.insert(streams.read(streams.write(other, 4)).fingerprint());
  other = kTexts;
  std::swap(other[1], other[2]);
  all.insert(streams.read(streams.write(other, 4)).fingerprint());
  other = {{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}}, kTexts[2]};  // the same tokens, another boundary
  all.insert(streams.read(streams.write(other, 4)).fingerprint());
  CHECK(all.size() == 7);
}

TEST_CASE("what cannot be trained on") {
  Streams streams;
  test::check_error([&] { streams.read(streams.write({{{1}}, {{2}}}, 4)); }, ErrorKind::kData, {"nothing to train on"});
  const std::string gap = streams.write(kTexts, 4, [](std::vector<Segment>& segments) { segments.erase(segments.begin() + 1); });
  test::check_error([&] { streams.read(gap); }, ErrorKind::kData, {"out of order", "'text0' goes on with segment 2, expected 1"});
  // A part of a document is a text like any other (uio-inspect --cut makes such streams).
  const std::string middle = streams.write(kTexts, 4, [](std::vector<Segment>& segments) { segments.erase(segments.begin()); });
  CHECK(streams.read(middle).token_count() == streams.read(streams.write(kTexts, 4)).token_count() - 4);
  test::check_error([&] { streams.read(streams.write(kTexts, 5)); }, ErrorKind::kMismatch, {"4", "5"});
}

using Picks = std::vector<std::pair<std::size_t, std::size_t>>;

Picks picks(DataOrder& order, int count) {
  Picks made;
  for (int i = 0; i < count; ++i) {
    const DataOrder::Pick pick = order.next();
    made.emplace_back(pick.corpus, pick.piece);
  }
  return made;
}

TEST_CASE("every piece once an epoch, in another order each time") {
  DataOrder order({7}, {}, 5, true);
  std::vector<Picks> epochs;
  for (int epoch = 0; epoch < 4; ++epoch) {
    epochs.push_back(picks(order, 7));
    Picks sorted = epochs.back();
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < 7; ++i) CHECK(sorted[i] == std::pair<std::size_t, std::size_t>(0, i));
  }
  CHECK(std::set<Picks>(epochs.begin(), epochs.end()).size() == 4);
  DataOrder again({7}, {}, 5, true), other({7}, {}, 6, true), plain({7}, {}, 5, false);
  CHECK(picks(again, 7) == epochs[0]);
  CHECK(picks(other, 7) != epochs[0]);
  for (int epoch = 0; epoch < 2; ++epoch)
    for (std::size_t i = 0; i < 7; ++i) CHECK(plain.next().piece == i);
}

TEST_CASE("an order is taken up again from its counts") {
  for (const bool shuffle : {true, false})
    for (const auto& weights : std::vector<std::vector<double>>{{}, {1, 5, 2}}) {
      DataOrder order({3, 8, 1}, weights, 11, shuffle);
      std::vector<std::vector<std::uint64_t>> counts = {order.counts()};
      Picks all;
      for (std::uint64_t i = 0; i < 60; ++i) {
        const DataOrder::Pick pick = order.next();
        CHECK(pick.number == i);
        all.emplace_back(pick.corpus, pick.piece);
        counts.push_back(order.counts());
      }
      for (std::size_t made = 0; made < 60; ++made) {
        DataOrder resumed({3, 8, 1}, weights, 11, shuffle);
        resumed.resume(counts[made]);
        const DataOrder::Pick pick = resumed.next();
        CHECK(pick.number == made);
        CHECK(std::pair(pick.corpus, pick.piece) == all[made]);
        CHECK(picks(resumed, static_cast<int>(59 - made)) == Picks(all.begin() + static_cast<std::ptrdiff_t>(made) + 1, all.end()));
        CHECK(resumed.counts() == counts[60]);
      }
    }
}

TEST_CASE("corpora are drawn from by weight, or by size, each piece once an epoch of its own") {
  constexpr int kPicks = 8000;
  const auto check = [](const std::vector<double>& weights, const std::vector<double>& shares) {
    DataOrder order({10, 30, 5}, weights, 3, true);
    std::vector<std::vector<int>> times = {std::vector<int>(10), std::vector<int>(30), std::vector<int>(5)};
    for (int i = 0; i < kPicks; ++i) {
      const DataOrder::Pick pick = order.next();
      ++times[pick.corpus][pick.piece];
    }
    for (std::size_t corpus = 0; corpus < 3; ++corpus) {
      int sum = 0;
      for (const int one : times[corpus]) sum += one;
      CHECK(order.counts()[corpus] == static_cast<std::uint64_t>(sum));
      CHECK(std::abs(sum - kPicks * shares[corpus]) < 4 * std::sqrt(kPicks * shares[corpus] * (1 - shares[corpus])));
      const auto [least, most] = std::minmax_element(times[corpus].begin(), times[corpus].end());
      CHECK(*most - *least <= 1);
    }
  };
  check({3, 1, 4}, {0.375, 0.125, 0.5});
  check({}, {10.0 / 45, 30.0 / 45, 5.0 / 45});
}

}  // namespace
}  // namespace uio
