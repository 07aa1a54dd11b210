// Model files that are cut, flipped or made up: refused with a message, or harmless. Never a crash of the library behind.
#include "text/sentencepiece_model.h"

#include "text/sentencepiece_tokenizer.h"
#include "unit/text/fixtures.h"

using namespace uio;
using namespace text_test;

namespace {

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string bytes_field(unsigned number, const std::string& bytes) {
  return varint(number << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string varint_field(unsigned number, std::uint64_t value) { return varint(number << 3) + varint(value); }

std::string piece(const std::string& text, unsigned type = 1, const std::string& score = std::string(4, '\0')) {
  return bytes_field(1, bytes_field(1, text) + "\x15" + score + varint_field(3, type));
}
std::string trainer(unsigned model_type = 2, const std::string& more = "") {
  return bytes_field(2, varint_field(3, model_type) + more);
}
std::string normalizer(const std::string& more = "") { return bytes_field(3, varint_field(4, 0) + more); }
std::string small_model() {
  return piece("<unk>", 2) + piece("<s>", 3) + piece("a") + piece("b") + piece("ab") + trainer() + normalizer();
}

Error refusal(const std::string& model) {
  return error_of([&] { make_sentencepiece_tokenizer(model, {}, "the.model"); });
}

}  // namespace

TEST_CASE("a small made-up model works") {
  const auto tokenizer = make_sentencepiece_tokenizer(small_model(), {}, "the.model");
  CHECK(tokenizer->vocabulary_size() == 5);
  CHECK(tokenizer->bos() == 1);
  CHECK(ids_of(tokenizer->encode("abba", false)) == std::vector<std::int32_t>{4, 3, 2});
}

TEST_CASE("what is wrong with a model is named") {
  const auto check = [](const std::string& model, ErrorKind kind, const std::string& reason) {
    const Error error = refusal(model);
    INFO(error.what());
    CHECK(error.kind() == kind);
    CHECK(error.reason().find(reason) != std::string::npos);
    CHECK(error.subject() == "the.model");
  };
  const std::string unknown = piece("<unk>", 2), ends = trainer() + normalizer();
  check("", ErrorKind::kData, "empty");
  check("hello", ErrorKind::kData, "");
  check(unknown + piece("") + ends, ErrorKind::kData, "piece 1 is empty");
  check(unknown + piece("a") + piece("a") + ends, ErrorKind::kData, "occurs twice");
  check(unknown + piece("a\xFF") + ends, ErrorKind::kData, "is not text");
  check(unknown + piece(std::string("a\0b", 3)) + ends, ErrorKind::kData, "is not text");
  check(unknown + piece("a", 1, std::string("\0\0\xC0\x7F", 4)) + ends, ErrorKind::kData, "finite");
  check(unknown + piece("a", 7) + ends, ErrorKind::kData, "type 7");
  check(piece("a") + ends, ErrorKind::kData, "0 unknown pieces");
  check(unknown + piece("u", 2) + ends, ErrorKind::kData, "2 unknown pieces");
  check(unknown + piece("<0x00>", 6) + ends, ErrorKind::kData, "byte_fallback");
  check(unknown + trainer(2, varint_field(35, 1)) + normalizer(), ErrorKind::kData, "byte_fallback");
  check(unknown + piece("<0x0G>", 6) + trainer(2, varint_field(35, 1)) + normalizer(), ErrorKind::kData, "names no byte");
  check(unknown + piece("<0x00>", 6) + trainer(2, varint_field(35, 1)) + normalizer(), ErrorKind::kData, "1 byte pieces");
  check(unknown + piece(std::string(5000, 'a')) + ends, ErrorKind::kData, "longer than 4096");
  check(unknown + trainer(9) + normalizer(), ErrorKind::kData, "model_type 9");
  check(unknown + piece("a") + trainer(), ErrorKind::kData, "normalizer_spec");
  check(unknown + piece("a") + normalizer(), ErrorKind::kData, "trainer_spec");
  check(unknown + piece("a") + trainer(3) + normalizer(), ErrorKind::kMismatch, "word");
  check(unknown + piece("a") + trainer(2, varint_field(24, 1)) + normalizer(), ErrorKind::kMismatch,
        "treat_whitespace_as_suffix");
  check(unknown + piece("a", 3) + ends, ErrorKind::kMismatch, "control piece 1 'a' is a character of text");
  check(small_model() + bytes_field(3, bytes_field(2, "junk")), ErrorKind::kData, "");
  check("IQ== 0\nIg== 1\n", ErrorKind::kMismatch, "tiktoken");
  std::string nested = unknown;
  for (std::size_t size = 1; size < 80; ++size) nested += piece(std::string(size, 'x'), 4);
  check(nested + ends, ErrorKind::kData, "begin each other");
  check(small_model() + "\x0B", ErrorKind::kData, "wire type 3");
  check(small_model() + "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", ErrorKind::kData, "64 bits");
}

TEST_CASE("a model cut at any byte is refused") {
  for (const std::string& name : {std::string("bpe-rules"), std::string("unigram-rules"), std::string("char")}) {
    const std::string model = read_file(golden() / name / "tokenizer.model");
    REQUIRE(model.size() > 500);
    for (std::size_t size = 0; size < model.size(); ++size) {
      try {
        make_sentencepiece_tokenizer(std::string_view(model).substr(0, size), {}, "cut");
        FAIL(name << " loads when cut at " << size);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::kData) FAIL(name << " cut at " << size << ": " << error.what());
      }
    }
  }
}

TEST_CASE("flipped bits are refused or harmless") {
  std::mt19937 random(7);
  const std::string text = hostile_text(60, 1);
  int refused = 0, loaded = 0;
  for (const std::string& name : kGoldenNames) {
    const std::string model = read_file(golden() / name / "tokenizer.model");
    for (int round = 0; round < 300; ++round) {
      std::string damaged = model;
      for (unsigned flips = 1 + random() % 4; flips > 0; --flips) damaged[random() % damaged.size()] ^= 1 << random() % 8;
      try {
        const auto tokenizer = make_sentencepiece_tokenizer(damaged, {}, "flipped");
        const auto tokens = tokenizer->encode(text);
        if (!tiles(tokens, text.size())) FAIL(name << " round " << round);
        ++loaded;
      } catch (const Error& error) {
        if (error.kind() == ErrorKind::kInternal) FAIL(error.what());
        ++refused;
      }
    }
  }
  CHECK(refused > 100);
  CHECK(loaded > 100);
}

TEST_CASE("self-test samples do not stop a model whose prefix is switched") {
  // A sample that holds with the dummy prefix only: the library refuses to load a model whose sample fails.
  const std::string with_space = piece("\u2581") + small_model();
  const std::string samples = bytes_field(4, bytes_field(1, bytes_field(1, "ab") + bytes_field(2, "\u2581 ab")));
  SentencePieceRules rules;
  rules.prefix = SentencePieceRules::Prefix::kNo;
  const auto tokenizer = make_sentencepiece_tokenizer(with_space + samples, rules, "tested");
  CHECK(tokenizer->encode("ab").size() == 1);
}

TEST_CASE("a BPE model with unused pieces is never cut") {
  // The library takes an unused piece apart as it was last put together anywhere in the text.
  const auto tokenizer = make_sentencepiece_tokenizer(small_model() + piece("\u2581") + piece("\u2581a", 5), {}, "unused");
  CHECK(tokenizer->safe_cut("ab ab ab") == 0);
  CHECK(make_sentencepiece_tokenizer(small_model() + piece("\u2581"), {}, "used")->safe_cut("ab ab ab") == 6);
}
