#include "text/segmenter.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include <cstring>
#include <numeric>

#include "text/original_offsets.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/utf8.h"
#include "unit/text/fixtures.h"

using namespace uio;
using namespace text_test;

namespace {

// What must hold for the segments of any document.
void check_segments(const std::vector<Segment>& segments, const Tokenizer& tokenizer, std::uint32_t length,
                    const std::string& bytes, const std::vector<std::int32_t>& text_ids) {
  REQUIRE(!segments.empty());
  std::vector<std::int32_t> ids;
  std::string joined;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const Segment& segment = segments[i];
    const bool is_last = i + 1 == segments.size();
    bool is_sound = segment.span.segment == i && segment.span.first_token == ids.size() && segment.span.is_last == is_last &&
                    segment.span.byte_begin == joined.size() && segment.segment_length == length &&
                    segment.tokenizer == tokenizer.fingerprint() && segment.span.document == "doc" &&
                    (is_last ? segment.tokens.size() <= length : segment.is_full());
    if (!is_sound) FAIL("segment " << i);
    if (is_last && i > 0 && segment.tokens.empty()) FAIL("an empty last segment");
    ids.insert(ids.end(), segment.tokens.begin(), segment.tokens.end());
    joined += segment.text;
    if (segment.span.byte_end != joined.size()) FAIL("end of segment " << i);
  }
  CHECK(joined == bytes);
  std::vector<std::int32_t> wanted;
  if (tokenizer.bos() >= 0) wanted.push_back(tokenizer.bos());
  wanted.insert(wanted.end(), text_ids.begin(), text_ids.end());
  CHECK((ids == wanted));
}

}  // namespace

TEST_CASE("segments of hostile documents join to the document, and their ids to those of the whole") {
  for (const std::string& name : kGoldenNames) {
    const auto tokenizer = load_golden(name);
    for (const std::string& text : {hostile_text(8000, 5), random_text(8000, 6), std::string(100000, 'a'),
                                    std::string(70000, ' '), std::string("\xEF\xBB\xBF first\r\n\0last", 16)}) {
      const std::vector<std::int32_t> ids = ids_of(tokenizer->encode(text));
      for (const std::uint32_t length : {1u, 7u, 64u, 100000u}) {
        for (const std::size_t step : {13, 5000, 1000000}) {
          INFO(name << " " << text.size() << " bytes, L " << length << ", step " << step);
          check_segments(segment_in_pieces(*tokenizer, length, text, step), *tokenizer, length, text, ids);
        }
      }
      check_segments(segment_text(*tokenizer, 9, "doc", text), *tokenizer, 9, text, ids);
    }
  }
}

TEST_CASE("a tail of its own length, and closed segments before it") {
  const auto tokenizer = load_golden(kGoldenNames[0]);
  for (const std::string& text : {hostile_text(3000, 15), random_text(900, 16), std::string(), std::string("one")}) {
    const std::vector<std::int32_t> ids = ids_of(tokenizer->encode(text));
    const std::size_t total = ids.size() + (tokenizer->bos() >= 0);
    for (const std::uint32_t length : {1u, 7u, 64u, 100000u})
      for (const std::uint32_t tail : {1u, 5u, 7u, 64u}) {
        if (tail > length) continue;
        INFO(text.size() << " bytes, L " << length << ", tail " << tail);
        const std::vector<Segment> segments = segment_text(*tokenizer, {length, Boundaries::kFixed, tail}, "doc", text);
        check_segments(segments, *tokenizer, length, text, ids);
        CHECK(segments.back().tokens.size() == std::min<std::size_t>(tail, total));
        CHECK_FALSE(segments.back().is_closed);
        for (std::size_t i = 0; i + 1 < segments.size(); ++i) {
          CHECK(segments[i].is_closed);
          CHECK(segments[i].tokens.size() == std::min<std::size_t>(length, total - tail - i * length));
        }
      }
  }
  // Content decides where segments end, and how long the tail is, where it was asked to.
  CHECK(Cutting(8, Boundaries::kContent, 3).tail == 0);
}

TEST_CASE("documents of 0, 1, L-1, L and L+1 tokens") {
  const auto tokenizer = load_golden("bpe-keep");  // BOS, no prefix space, a token for each of these characters
  const auto sizes = [&](std::size_t characters) {
    std::vector<std::size_t> counts;
    for (const Segment& segment : segment_text(*tokenizer, 4, "doc", std::string(characters, '7')))
      counts.push_back(segment.tokens.size());
    return counts;
  };
  using Sizes = std::vector<std::size_t>;
  REQUIRE(tokenizer->encode("77777777").size() == 8);
  CHECK(sizes(0) == Sizes{1});
  CHECK(sizes(2) == Sizes{3});
  CHECK(sizes(3) == Sizes{4});
  CHECK(sizes(4) == Sizes{4, 1});
  CHECK(sizes(7) == Sizes{4, 4});
  CHECK(sizes(8) == Sizes{4, 4, 1});

  const auto no_bos = load_golden("char");
  const std::vector<Segment> none = segment_text(*no_bos, 4, "doc", "");
  REQUIRE(none.size() == 1);
  CHECK(none[0].tokens.empty());
  CHECK(none[0].span.is_last);
  CHECK(!none[0].is_full());
  const std::vector<Segment> spaces = segment_text(*no_bos, 4, "doc", "   ");
  REQUIRE(spaces.size() == 1);
  CHECK(spaces[0].tokens.empty());
  CHECK(spaces[0].text == "   ");
  const std::vector<Segment> one = segment_text(*no_bos, 1, "doc", "   \u2581a ");
  CHECK(one.back().span.byte_end == 8);

  CHECK(error_of([&] { segment_text(*no_bos, 0, "doc", "a"); }).kind() == ErrorKind::kUsage);
}

TEST_CASE("invalid UTF-8 is reported with its offset in the document") {
  const auto tokenizer = load_golden("bpe-bytes");
  const std::string good = hostile_text(20000, 8);
  for (const std::string bad : {"\xFF", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x96"}) {
    for (const std::string& before : {std::string(), std::string("é"), good}) {
      for (const char* after : {"", "x"}) {
        for (const std::size_t step : {1, 3000, 10000000}) {
          if (step == 1 && before.size() > 100) continue;
          const Error error = error_of([&] { segment_in_pieces(*tokenizer, 64, before + bad + after, step); });
          CHECK(error.kind() == ErrorKind::kData);
          CHECK(error.subject() == "doc");
          char hex[8];
          std::snprintf(hex, sizeof hex, "0x%02X", static_cast<unsigned char>(bad[0]));
          CHECK(error.reason() == std::string("byte ") + hex + " at offset " + std::to_string(before.size()));
        }
      }
    }
  }
}

TEST_CASE("invalid UTF-8 that is replaced leaves the document's bytes as they were") {
  std::mt19937 random(9);
  for (const char* name : {"bpe-bytes", "unigram-rules"}) {
    const auto tokenizer = load_golden(name);
    for (int round = 0; round < 30; ++round) {
      std::string bytes;
      while (bytes.size() < 3000) {
        bytes += hostile_text(random() % 20, random());
        for (unsigned k = random() % 4; k > 0; --k) bytes += static_cast<char>(random());
      }
      const std::vector<std::int32_t> ids = ids_of(tokenizer->encode(replace_invalid_utf8(bytes)));
      for (const std::size_t step : {1, 40, 5000}) {
        check_segments(segment_in_pieces(*tokenizer, 5, bytes, step, true), *tokenizer, 5, bytes, ids);
      }
    }
  }
}

TEST_CASE("a byte-fallback replacement is spread over the bytes that it stands for") {
  const auto tokenizer = load_golden("bpe-bytes");
  const std::vector<Segment> segments = segment_text(*tokenizer, 1, "doc", "\xF0\x9F\x99z", true);
  REQUIRE(segments.size() == 6);  // BOS, prefix space, EF BF BD, z
  CHECK(segments[0].text.empty());
  CHECK(segments[1].text.empty());
  CHECK(segments[2].text == "\xF0");
  CHECK(segments[3].text == "\x9F");
  CHECK(segments[4].text == "\x99");
  CHECK(segments[5].text == "z");
}

TEST_CASE("offsets before, in and behind replacements") {
  OriginalOffsets offsets;
  offsets.add(2, 3, 2, 1);   // one bad byte
  offsets.add(10, 3, 8, 3);  // three
  const std::vector<std::uint64_t> expected = {0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  for (std::uint64_t at = 0; at < expected.size(); ++at) CHECK(offsets.at(at) == expected[at]);
}

TEST_CASE("the segmenter walks all documents of a reader") {
  const auto tokenizer = load_golden("bpe-bytes");
  const std::string text = "one line\n\nthe third line";
  const auto source = memory_source(std::as_bytes(std::span(text)), "f");
  const auto reader = read_documents(*source, {DocumentUnit::kLine, false});
  std::vector<std::string> seen;
  Segmenter(*tokenizer, 1000, false).run(*reader, [&](Segment segment) {
    seen.push_back(segment.span.document + "=" + segment.text);
  });
  CHECK(seen == std::vector<std::string>{"f:1=one line", "f:2=", "f:3=the third line"});
}

namespace {

// Random parts that tile `size` bytes, cutting characters and tokens wherever it comes.
Weighting random_weighting(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  Weighting weighting;
  for (std::size_t end = 0; end < size;) {
    end = std::min(size, end + 1 + random() % 20);
    weighting.parts.push_back({end, static_cast<std::uint8_t>(random() % 3 == 0 ? 0 : random())});
  }
  return weighting;
}

// The slow way: each byte's weight, then each token's first byte.
std::vector<std::uint8_t> weights_by_bytes(const Tokenizer& tokenizer, const std::string& text, const Weighting& weighting) {
  std::vector<std::uint8_t> of_bytes;
  for (const auto& part : weighting.parts) of_bytes.resize(part.byte_end, part.weight);
  std::vector<std::uint8_t> weights(tokenizer.bos() >= 0 ? 1 : 0);
  std::uint64_t begin = 0;
  for (const Token& token : tokenizer.encode(text)) {
    const bool is_empty = token.byte_end == begin;
    weights.push_back(of_bytes.at(is_empty && begin > 0 ? begin - 1 : begin));
    begin = token.byte_end;
  }
  if (weighting.scores_end && tokenizer.eos() >= 0) weights.push_back(1);
  return weights;
}

struct Weighted {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> weights;
  std::string text;
};

Weighted segment_weighted(const Tokenizer& tokenizer, std::uint32_t length, std::string_view text, const Weighting& weighting) {
  Weighted all;
  const EmitSegment keep = [&](const Segment& segment) {
    if (segment.weights.size() != segment.tokens.size()) FAIL("a segment with other weights than tokens");
    all.ids.insert(all.ids.end(), segment.tokens.begin(), segment.tokens.end());
    all.weights.insert(all.weights.end(), segment.weights.begin(), segment.weights.end());
    all.text += segment.text;
  };
  DocumentSegmenter segmenter(tokenizer, length, false, "doc", weighting);
  segmenter.add(text, keep);
  segmenter.finish(keep);
  return all;
}

}  // namespace

TEST_CASE("a token has the weight of its first byte's part, and the ids are those of the text without weights") {
  for (const std::string& name : kGoldenNames) {
    const auto tokenizer = load_golden(name);
    for (const unsigned seed : {1u, 2u, 3u}) {
      const std::string text = hostile_text(20000, seed);
      Weighting weighting = random_weighting(text.size(), seed);
      weighting.scores_end = seed == 2;
      const std::vector<std::uint8_t> expected = weights_by_bytes(*tokenizer, text, weighting);
      std::vector<std::int32_t> ids;
      for (const Segment& segment : segment_text(*tokenizer, 50, "doc", text))
        ids.insert(ids.end(), segment.tokens.begin(), segment.tokens.end());
      if (weighting.scores_end && tokenizer->eos() >= 0) ids.push_back(tokenizer->eos());
      for (const std::uint32_t length : {1u, 7u, 1000u}) {
        INFO(name << ", seed " << seed << ", L " << length);
        const Weighted found = segment_weighted(*tokenizer, length, text, weighting);
        CHECK((found.weights == expected));
        CHECK((found.ids == ids));
        CHECK((found.text == text));
      }
    }
  }
}

TEST_CASE("the end of a response is a token without bytes, in a segment of its own where the last one is full") {
  const auto tokenizer = load_golden("bpe-keep");  // BOS, no prefix space, a token for each of these characters
  REQUIRE(tokenizer->eos() >= 0);
  std::vector<Segment> segments;
  const EmitSegment keep = [&](Segment segment) { segments.push_back(std::move(segment)); };
  DocumentSegmenter segmenter(*tokenizer, 4, false, "doc", Weighting{{{2, 0}, {3, 1}}, true});
  segmenter.add("777", keep);
  segmenter.finish(keep);
  REQUIRE(segments.size() == 2);
  CHECK(segments[0].weights == std::vector<std::uint8_t>{0, 0, 0, 1});
  CHECK(!segments[0].span.is_last);
  CHECK(segments[1].tokens == std::vector<std::int32_t>{tokenizer->eos()});
  CHECK(segments[1].weights == std::vector<std::uint8_t>{1});
  CHECK(segments[1].text.empty());
  CHECK(segments[1].span.byte_begin == 3);
  CHECK(segments[1].span.is_last);
}

TEST_CASE("a token without bytes counts as the byte before it, the first as the byte behind it") {
  WeightCursor cursor(Weighting{{{2, 10}, {4, 20}}, false});
  CHECK(cursor.weight(0, 0) == 10);
  CHECK(cursor.weight(0, 2) == 10);
  CHECK(cursor.weight(2, 2) == 10);
  CHECK(cursor.weight(2, 3) == 20);
  CHECK(cursor.weight(3, 4) == 20);
  CHECK(cursor.weight(4, 4) == 20);
  CHECK(WeightCursor(Weighting{}).weight(0, 0) == 0);
}

namespace {

// Instructions line after line, never all in memory.
class EndlessLines : public Source {
 public:
  explicit EndlessLines(std::size_t bytes) : left_(bytes) {}
  std::size_t read(std::span<std::byte> buffer) override {
    while (line_.size() < buffer.size() && left_ > 0) {
      const std::string one =
          "{\"prompt\":\"What is word" + std::to_string(random_() % 100000) + "?\",\"response\":\" It is a word.\"}\n";
      line_ += one;
      left_ -= std::min(left_, one.size());
    }
    const std::size_t size = std::min(buffer.size(), line_.size());
    std::memcpy(buffer.data(), line_.data(), size);
    line_.erase(0, size);
    return size;
  }
  const std::string& name() const override { return name_; }

 private:
  std::size_t left_;
  std::string line_, name_ = "lines";
  std::mt19937 random_{4};
};

// A text of any length that is never in memory.
class EndlessReader : public DocumentReader {
 public:
  explicit EndlessReader(std::size_t bytes) : left_(bytes) {}
  std::optional<std::string> next_document() override { return left_ == 0 ? std::nullopt : std::optional<std::string>("doc"); }
  std::string next_piece() override {
    std::string piece;
    while (piece.size() < 60000 && left_ > piece.size())
      piece += "word" + std::to_string(random_() % 100000) + (random_() % 9 ? " " : ".\n");
    left_ -= std::min(left_, piece.size());
    return piece;
  }

 private:
  std::size_t left_;
  std::mt19937 random_{3};
};

// Peak resident memory in KiB of a child that segments what `reader` has, at least `bytes` of text.
long peak_of_segmenting(const Tokenizer& tokenizer, DocumentReader& reader, std::size_t bytes) {
  const pid_t child = fork();
  if (child == 0) {
    std::uint64_t seen = 0;
    Segmenter(tokenizer, 1024, false).run(reader, [&](const Segment& segment) { seen += segment.text.size(); });
    _exit(seen >= bytes ? 0 : 1);
  }
  int status = 0;
  rusage usage{};
  REQUIRE(wait4(child, &status, 0, &usage) == child);
  CHECK(status == 0);
  return usage.ru_maxrss;
}

}  // namespace

TEST_CASE("memory does not grow from 1 MB to 40 MB of text") {
  const auto tokenizer = load_golden("bpe-bytes");
  const auto peak = [&](std::size_t bytes) {
    EndlessReader reader(bytes);
    return peak_of_segmenting(*tokenizer, reader, bytes);
  };
  const long small = peak(1'000'000), large = peak(40'000'000);
  INFO(small << " KiB and " << large << " KiB");
  // The cache of units fills up to its bound meanwhile: about 8 MiB.
  CHECK(large < small + 16 * 1024);
}

TEST_CASE("memory does not grow from 1 MB to 20 MB of instructions") {
  const auto tokenizer = load_golden("bpe-bytes");
  const auto peak = [&](std::size_t bytes) {
    EndlessLines lines(bytes);
    const auto reader = read_documents(lines, {DocumentUnit::kJsonLine, false});
    return peak_of_segmenting(*tokenizer, *reader, bytes / 4);
  };
  const long small = peak(1'000'000), large = peak(20'000'000);
  INFO(small << " KiB and " << large << " KiB");
  CHECK(large < small + 16 * 1024);
}
