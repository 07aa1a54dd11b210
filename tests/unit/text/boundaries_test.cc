#include "text/boundaries.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "text/segmenter.h"
#include "text/sentencepiece_tokenizer.h"
#include "unit/text/fixtures.h"

using namespace uio;
using namespace text_test;

namespace {

constexpr std::uint32_t kLength = 32;

// Words in sentences in paragraphs.
std::string prose(std::size_t paragraphs, unsigned seed) {
  std::mt19937 random(seed);
  std::string text;
  for (std::size_t p = 0; p < paragraphs; ++p) {
    for (unsigned words = 5 + random() % 60; words > 0; --words) {
      for (unsigned letters = 1 + random() % 8; letters > 0; --letters) text += static_cast<char>('a' + random() % 26);
      text += random() % 9 == 0 ? ". " : random() % 12 == 0 ? "\n" : " ";
    }
    text += random() % 5 ? "end.\n\n" : "end.\r\n \n\n";
  }
  return text;
}

// What a memory depends on: two segments with the same key are the same to everyone who compresses them.
std::string content_of(const Segment& segment) {
  std::string content(reinterpret_cast<const char*>(segment.tokens.data()), 4 * segment.tokens.size());
  return content + "|" + segment.text;
}

void check_law(const std::vector<Segment>& segments, const Tokenizer& tokenizer, Cutting cutting, const std::string& text) {
  std::vector<std::int32_t> ids;
  std::string joined;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const Segment& segment = segments[i];
    const bool is_last = i + 1 == segments.size();
    const std::size_t count = segment.tokens.size();
    const bool is_closed = count >= cutting.least() && count <= cutting.length && segment.is_closed;
    const bool is_tail = is_last && !segment.is_closed && count < cutting.length && (count > 0 || i == 0);
    if (!(is_closed || is_tail)) FAIL("segment " << i << " of " << count << " tokens");
    if (segment.span.is_last != is_last || segment.span.first_token != ids.size() || segment.span.byte_begin != joined.size()) FAIL("span of " << i);
    ids.insert(ids.end(), segment.tokens.begin(), segment.tokens.end());
    joined += segment.text;
    if (segment.span.byte_end != joined.size()) FAIL("end of " << i);
  }
  CHECK((joined == text));
  std::vector<std::int32_t> wanted;
  if (tokenizer.bos() >= 0) wanted.push_back(tokenizer.bos());
  for (const std::int32_t id : ids_of(tokenizer.encode(text))) wanted.push_back(id);
  CHECK((ids == wanted));
}

}  // namespace

TEST_CASE("segments that end by content join to the document, whole, within L, and however the text arrives") {
  for (const char* name : {"bpe-bytes", "bpe-keep", "unigram-rules", "char"}) {
    const auto tokenizer = load_golden(name);
    for (const std::string& text : {prose(60, 1), hostile_text(4000, 2), std::string(5000, 'a'), std::string(3000, '\n'), std::string("short"), std::string()}) {
      for (const Boundaries boundaries : {Boundaries::kContent, Boundaries::kParagraph}) {
        for (const std::uint32_t length : {1u, 2u, 7u, kLength, 100000u}) {
          INFO(name << ", " << text.size() << " bytes, L " << length);
          const Cutting cutting(length, boundaries);
          const std::vector<Segment> whole = segment_text(*tokenizer, cutting, "doc", text);
          check_law(whole, *tokenizer, cutting, text);
          for (const std::size_t step : {11, 3000}) {
            const std::vector<Segment> pieces = segment_in_pieces(*tokenizer, cutting, text, step);
            REQUIRE(pieces.size() == whole.size());
            for (std::size_t i = 0; i < whole.size(); ++i)
              if (content_of(pieces[i]) != content_of(whole[i]) || pieces[i].is_closed != whole[i].is_closed) FAIL("segment " << i);
          }
        }
      }
    }
  }
}

TEST_CASE("segments are three quarters full in the mean") {
  const auto tokenizer = load_golden("bpe-bytes");
  const std::string text = prose(600, 3);
  const std::vector<Segment> segments = segment_text(*tokenizer, {kLength, Boundaries::kContent}, "doc", text);
  REQUIRE(segments.size() > 500);
  std::size_t tokens = 0;
  for (const Segment& segment : segments) tokens += segment.tokens.size();
  const double fill = static_cast<double>(tokens) / static_cast<double>(segments.size() * kLength);
  CHECK(fill > 0.72);
  CHECK(fill < 0.80);
}

TEST_CASE("text that repeats itself fills its segments") {
  const auto tokenizer = load_golden("char");
  const std::vector<Segment> segments = segment_text(*tokenizer, {kLength, Boundaries::kContent}, "doc", std::string(3200, 'a'));
  std::size_t full = 0;
  for (const Segment& segment : segments) full += segment.tokens.size() == kLength;
  CHECK(full + 2 >= segments.size());
}

TEST_CASE("a segment by paragraph ends with one where one is in reach, and never between two line ends") {
  const auto tokenizer = load_golden("bpe-bytes");
  const std::uint32_t length = 512;
  const std::vector<Segment> segments = segment_text(*tokenizer, {length, Boundaries::kParagraph}, "doc", prose(300, 4));
  REQUIRE(segments.size() > 50);
  std::size_t ends = 0;
  for (const Segment& segment : segments) {
    ends += segment.text.ends_with("\n\n");
    if (segment.is_closed && !segment.text.ends_with('\n')) FAIL("within a line, though one ends in reach");
    if (segment.span.segment > 0 && segment.text.starts_with('\n')) FAIL("parted line ends");
  }
  CHECK(ends * 100 >= segments.size() * 90);  // some paragraphs are longer than what is in reach

  // Without blank lines, a line is a paragraph.
  std::string lines;
  for (int i = 0; i < 400; ++i) lines += "it was the " + std::to_string(i * 7919 % 1000) + "th line of many\n";
  for (const Segment& segment : segment_text(*tokenizer, {length, Boundaries::kParagraph}, "doc", lines))
    if (!segment.text.ends_with('\n')) FAIL("within a line");
}

TEST_CASE("an edit changes the segments near it and no others") {
  for (const char* name : {"bpe-bytes", "bpe-keep"}) {
    const auto tokenizer = load_golden(name);
    const std::string text = prose(250, 5);
    for (const Boundaries boundaries : {Boundaries::kContent, Boundaries::kParagraph}) {
      const Cutting cutting(kLength, boundaries);
      const std::vector<Segment> before = segment_text(*tokenizer, cutting, "doc", text);
      REQUIRE(before.size() > 200);
      std::set<std::string> known;
      for (const Segment& segment : before) known.insert(content_of(segment));
      std::mt19937 random(6);
      std::size_t changed = 0, edits = 0;
      for (int round = 0; round < 150; ++round) {
        std::string edited = text;
        // Near the start, or anywhere; words or a paragraph in, or a stretch out.
        const std::size_t at = round % 3 == 0 ? random() % 200 : random() % (text.size() - 2000);
        if (round % 2) edited.erase(at, 1 + random() % 800);
        else edited.insert(at, round % 4 ? " inserted" : "A whole new paragraph, of some words.\n\n");
        const std::vector<Segment> after = segment_text(*tokenizer, cutting, "doc", edited);
        check_law(after, *tokenizer, cutting, edited);
        // From the first segment that is new, those that follow are known again, but for a few; and once they are, they stay so.
        std::size_t first = 0, last = 0, fresh = 0;
        for (std::size_t i = 0; i < after.size(); ++i) {
          if (known.contains(content_of(after[i]))) continue;
          if (fresh++ == 0) first = i;
          last = i;
        }
        INFO(name << ", edit " << round << " at " << at << ": segments " << first << " to " << last << " of " << after.size());
        CHECK(last - first < 40);
        changed += fresh;
        ++edits;
      }
      INFO(name << ": " << changed << " segments changed by " << edits << " edits");
      CHECK(changed <= 6 * edits);
    }
  }
}

TEST_CASE("what is appended leaves closed segments as they are") {
  const auto tokenizer = load_golden("bpe-bytes");
  const std::string text = prose(40, 7);
  for (const Boundaries boundaries : {Boundaries::kContent, Boundaries::kParagraph}) {
    const Cutting cutting(kLength, boundaries);
    const std::vector<Segment> whole = segment_text(*tokenizer, cutting, "doc", text);
    for (std::size_t size = 0; size < text.size(); size += 37) {
      // Cut before a word: the tokens before a space do not depend on what follows.
      const std::size_t end = text.find(' ', size);
      if (end == std::string::npos) break;
      const std::vector<Segment> part = segment_text(*tokenizer, cutting, "doc", text.substr(0, end));
      for (std::size_t i = 0; i < part.size(); ++i)
        if (part[i].is_closed && part[i].tokens != whole[i].tokens) FAIL("segment " << i << " of " << end << " bytes");
    }
  }
}
