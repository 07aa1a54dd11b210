#include "text/segmenter.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include <numeric>

#include "text/original_offsets.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/utf8.h"
#include "unit/text/fixtures.h"

using namespace uio;
using namespace text_test;

namespace {

std::unique_ptr<Tokenizer> load_golden(const std::string& name) {
  return make_sentencepiece_tokenizer(read_file(golden() / name / "tokenizer.model"), {}, name);
}

// The segments of a text that arrives in pieces of random sizes up to `step`, which may cut characters.
std::vector<Segment> segment_in_pieces(const Tokenizer& tokenizer, std::uint32_t length, std::string_view text,
                                       std::size_t step, bool replace_invalid = false) {
  std::mt19937 random(static_cast<unsigned>(step));
  std::vector<Segment> segments;
  const EmitSegment keep = [&](Segment segment) { segments.push_back(std::move(segment)); };
  DocumentSegmenter segmenter(tokenizer, length, replace_invalid, "doc");
  while (!text.empty()) {
    const std::size_t size = std::min(text.size(), 1 + random() % step);
    segmenter.add(text.substr(0, size), keep);
    text.remove_prefix(size);
  }
  segmenter.finish(keep);
  return segments;
}

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

// Peak resident memory in KiB of a child that segments `bytes` of text.
long peak_of_segmenting(const Tokenizer& tokenizer, std::size_t bytes) {
  const pid_t child = fork();
  if (child == 0) {
    EndlessReader reader(bytes);
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
  const long small = peak_of_segmenting(*tokenizer, 1'000'000), large = peak_of_segmenting(*tokenizer, 40'000'000);
  INFO(small << " KiB and " << large << " KiB");
  // The cache of units fills up to its bound meanwhile: about 8 MiB.
  CHECK(large < small + 16 * 1024);
}
