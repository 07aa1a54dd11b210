// What the tests of lib/text share: where data lies, hostile texts, chunks against the whole.
#pragma once

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/segmenter.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tokenizer.h"

namespace text_test {

namespace fs = std::filesystem;

inline std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

// The repository: UIO_ROOT, else what the build folder around this binary was configured from.
inline fs::path repository() {
  if (const char* root = std::getenv("UIO_ROOT")) return root;
  for (fs::path at = fs::read_symlink("/proc/self/exe").parent_path(); at != at.root_path(); at = at.parent_path()) {
    std::ifstream cache(at / "CMakeCache.txt");
    const std::string key = "CMAKE_HOME_DIRECTORY:INTERNAL=";
    for (std::string line; std::getline(cache, line);) {
      if (line.starts_with(key)) return line.substr(key.size());
    }
  }
  FAIL("set UIO_ROOT to the repository");
  return {};
}

inline fs::path golden() { return repository() / "tests/golden/text"; }

// A SentencePiece tokenizer among them, and the texts of a list.
inline std::unique_ptr<uio::Tokenizer> load_golden(const std::string& name, const uio::SentencePieceRules& rules = {}) {
  return uio::make_sentencepiece_tokenizer(read_file(golden() / name / "tokenizer.model"), rules, name);
}
inline std::vector<std::string> golden_texts(const std::string& list = "texts.jsonl") {
  std::vector<std::string> texts;
  std::ifstream in(golden() / list);
  for (std::string line; std::getline(in, line);) texts.push_back(nlohmann::json::parse(line));
  return texts;
}

// The data that is not part of the repository; empty (with a message) where it is absent.
inline fs::path shared_data() {
  const char* set = std::getenv("UIO_SHARED");
  const fs::path root = set ? fs::path(set) : repository() / "../shared";
  if (fs::exists(root / "data/tokenizers")) return root / "data";
  WARN("skipped: ../shared is absent");
  return {};
}

inline const std::vector<std::string> kGoldenNames = {"bpe-bytes",     "bpe-rules",     "bpe-keep",
                                                      "unigram-bytes", "unigram-rules", "char"};

// A folder that goes away again.
class TempDir {
 public:
  TempDir() {
    std::string name = (fs::temp_directory_path() / "uio-text-XXXXXX").string();
    if (!mkdtemp(name.data())) FAIL("no temporary folder");
    path_ = name;
  }
  ~TempDir() { fs::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// Valid UTF-8 that is full of what tokenizers get wrong.
inline std::string hostile_text(std::size_t characters, unsigned seed) {
  static const std::vector<std::string> kParts = {" ",
                                                  "  ",
                                                  "\n",
                                                  "\r\n",
                                                  "\t",
                                                  "\u2581",
                                                  "a",
                                                  "e",
                                                  "the",
                                                  " the",
                                                  "ing",
                                                  "er",
                                                  ".",
                                                  ",",
                                                  "\"",
                                                  "1",
                                                  "23",
                                                  "é",
                                                  "e\u0301",
                                                  "\u0301",
                                                  "\ufb03",
                                                  "\u3000",
                                                  "\u00a0",
                                                  "\u00bd",
                                                  "\u00a8",
                                                  "\u200b",
                                                  "你",
                                                  "好",
                                                  "🙂",
                                                  "👩\u200d🚀",
                                                  std::string(1, '\0'),
                                                  "\ufeff",
                                                  "<s>",
                                                  "</s>",
                                                  "<unk>",
                                                  "<0x0A>",
                                                  "\U0010ffff",
                                                  "[SEP]",
                                                  "::",
                                                  ":::",
                                                  "\u0085"};
  std::mt19937 random(seed);
  std::string text;
  for (std::size_t i = 0; i < characters; ++i) text += kParts[random() % kParts.size()];
  return text;
}

// Any valid UTF-8 whatever.
inline std::string random_text(std::size_t characters, unsigned seed) {
  std::mt19937 random(seed);
  std::string text;
  while (characters > 0) {
    const char32_t c = random() % 3 == 0 ? random() % 0x110000 : random() % 2 ? random() % 0x80 : random() % 0x3000;
    if (c >= 0xD800 && c < 0xE000) continue;
    if (c < 0x80) {
      text += static_cast<char>(c);
    } else if (c < 0x800) {
      text += {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
    } else if (c < 0x10000) {
      text +=
          {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
    } else {
      text += {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3F)),
               static_cast<char>(0x80 | (c >> 6 & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
    }
    --characters;
  }
  return text;
}

// The text encoded in pieces that grow by random steps of up to `step` bytes and are cut where safe_cut allows.
inline std::vector<uio::Token> encode_in_chunks(const uio::Tokenizer& tokenizer, std::string_view text, std::size_t step,
                                                unsigned seed) {
  std::mt19937 random(seed);
  std::vector<uio::Token> tokens;
  bool is_start = true;
  for (std::size_t begin = 0, end = 0; end < text.size();) {
    end = std::min(text.size(), end + 1 + random() % step);
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
    const std::string_view buffer = text.substr(begin, end - begin);
    const std::size_t cut = end == text.size() ? buffer.size() : tokenizer.safe_cut(buffer);
    if (cut == 0) continue;
    for (const uio::Token& token : tokenizer.encode(buffer.substr(0, cut), is_start)) {
      tokens.push_back({token.id, token.byte_end + begin});
    }
    begin += cut;
    is_start = false;
  }
  return tokens;
}

// The segments of a text that arrives in pieces of random sizes up to `step`, which may cut characters.
inline std::vector<uio::Segment> segment_in_pieces(const uio::Tokenizer& tokenizer, uio::Cutting cutting, std::string_view text, std::size_t step,
                                                   bool replace_invalid = false) {
  std::mt19937 random(static_cast<unsigned>(step));
  std::vector<uio::Segment> segments;
  const uio::EmitSegment keep = [&](uio::Segment segment) { segments.push_back(std::move(segment)); };
  uio::DocumentSegmenter segmenter(tokenizer, cutting, replace_invalid, "doc");
  while (!text.empty()) {
    const std::size_t size = std::min(text.size(), 1 + random() % step);
    segmenter.add(text.substr(0, size), keep);
    text.remove_prefix(size);
  }
  segmenter.finish(keep);
  return segments;
}

inline std::vector<std::int32_t> ids_of(const std::vector<uio::Token>& tokens) {
  std::vector<std::int32_t> ids;
  for (const uio::Token& token : tokens) ids.push_back(token.id);
  return ids;
}

// Index of the first token in which the two differ, or -1. (Comparing in one assertion keeps a million tokens out of the log.)
inline std::ptrdiff_t first_difference(const std::vector<uio::Token>& a, const std::vector<uio::Token>& b) {
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    if (i >= a.size() || i >= b.size() || a[i].id != b[i].id || a[i].byte_end != b[i].byte_end)
      return static_cast<std::ptrdiff_t>(i);
  }
  return -1;
}

// True if the spans tile the text.
inline bool tiles(const std::vector<uio::Token>& tokens, std::size_t size) {
  std::uint64_t last = 0;
  for (const uio::Token& token : tokens) {
    if (token.byte_end < last) return false;
    last = token.byte_end;
  }
  return tokens.empty() || last == size;
}

// The error that `action` throws, which must be one.
template <typename Action>
uio::Error error_of(const Action& action) {
  try {
    action();
  } catch (const uio::Error& error) {
    return error;
  }
  FAIL("nothing was thrown");
  return uio::Error(uio::ErrorKind::kInternal, "", "", "");
}

}  // namespace text_test
