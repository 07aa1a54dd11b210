#include "text/tokenizer.h"

#include <nlohmann/json.hpp>
#include <thread>

#include "text/sentencepiece_tokenizer.h"
#include "text/utf8.h"
#include "unit/text/fixtures.h"

using namespace uio;
using namespace text_test;

TEST_CASE("ids and spans are those of SentencePiece's own package") {
  const std::vector<std::string> texts = golden_texts();
  REQUIRE(texts.size() > 60);
  for (const std::string& name : kGoldenNames) {
    const auto tokenizer = load_golden(name);
    std::ifstream in(golden() / name / "vectors.jsonl");
    std::size_t row = 0;
    for (std::string line; std::getline(in, line); ++row) {
      const auto expected = nlohmann::json::parse(line);
      const std::string& text = texts.at(row);
      const std::vector<Token> tokens = tokenizer->encode(text);
      INFO(name << " text " << row);
      CHECK(ids_of(tokens) == expected["ids"].get<std::vector<std::int32_t>>());
      CHECK(tiles(tokens, text.size()));
      for (std::size_t i = 0; i + 1 < tokens.size() && i < expected["ends"].size(); ++i) {
        // In byte-fallback runs our spans are finer.
        const bool is_run = tokenizer->bytes_of(tokens[i].id).size() == 1 &&
                            static_cast<unsigned char>(tokenizer->bytes_of(tokens[i].id)[0]) >= 0x80;
        const bool is_control_byte = tokens[i].byte_end > 0 && static_cast<unsigned char>(text[tokens[i].byte_end - 1]) < 0x20;
        if (!is_run && !is_control_byte) CHECK(tokens[i].byte_end == expected["ends"][i].get<std::uint64_t>());
      }
    }
    CHECK(row == texts.size());
  }
}

TEST_CASE("the spans of a byte tokenizer without rules spell the text") {
  for (const char* name : {"bpe-bytes", "unigram-bytes"}) {
    const auto tokenizer = load_golden(name);
    for (unsigned seed = 0; seed < 20; ++seed) {
      std::string text = seed % 2 ? hostile_text(400, seed) : random_text(400, seed);
      // A space symbol in the text is indistinguishable from a space afterwards.
      for (std::size_t at; (at = text.find("\u2581")) != std::string::npos;) text.erase(at, 3);
      const std::vector<Token> tokens = tokenizer->encode(text);
      std::uint64_t begin = 0;
      for (std::size_t i = 0; i < tokens.size(); ++i) {
        std::string bytes = tokenizer->bytes_of(tokens[i].id);
        if (i == 0 && bytes.starts_with(' ')) bytes.erase(0, 1);  // the prefix space
        if (bytes != text.substr(begin, tokens[i].byte_end - begin)) FAIL(name << " seed " << seed << " token " << i);
        begin = tokens[i].byte_end;
      }
      CHECK(tokenizer->decode(ids_of(tokens), true) == text);
    }
  }
}

TEST_CASE("chunks that end at safe cuts give the tokens of the whole") {
  for (const std::string& name : kGoldenNames) {
    const auto tokenizer = load_golden(name);
    for (unsigned seed = 0; seed < 12; ++seed) {
      const std::string text = seed % 3 == 2 ? random_text(3000, seed) : hostile_text(3000, seed);
      const std::vector<Token> whole = tokenizer->encode(text);
      for (const std::size_t step : {1, 7, 100, 2000}) {
        INFO(name << " seed " << seed << " step " << step);
        CHECK(first_difference(encode_in_chunks(*tokenizer, text, step, seed), whole) == -1);
      }
    }
  }
}

TEST_CASE("a safe cut is there for plain text and keeps its promise whatever follows") {
  for (const std::string& name : kGoldenNames) {
    const auto tokenizer = load_golden(name);
    const std::string text = "The harbour was quiet before sunrise; only the gulls";
    const std::size_t cut = tokenizer->safe_cut(text);
    INFO(name);
    CHECK(cut > text.size() - 10);
    for (const std::string more : {"", "s", "\u0301", " ", "\u200b", "\n", "::", "\u2581", "🙂"}) {
      const std::string all = text + more;
      std::vector<std::int32_t> joined = ids_of(tokenizer->encode(all.substr(0, cut)));
      for (const std::int32_t id : ids_of(tokenizer->encode(all.substr(cut), false))) joined.push_back(id);
      CHECK(joined == ids_of(tokenizer->encode(all)));
    }
    CHECK(tokenizer->safe_cut("") == 0);
    CHECK(tokenizer->safe_cut("a") == 0);
  }
}

TEST_CASE("a run of unknown characters is one token however long, and is never cut") {
  const auto tokenizer = load_golden("char");
  std::string text = "a";
  for (int i = 0; i < 20000; ++i) text += "你";
  CHECK(tokenizer->safe_cut(text) == 1);
  CHECK(tokenizer->encode(text).size() == 3);  // prefix space, a, the run
  CHECK(tokenizer->encode(text + "a" + text.substr(1)).size() == 5);
}

TEST_CASE("text without tokens") {
  for (const std::string& name : kGoldenNames) {
    const auto tokenizer = load_golden(name);
    CHECK(tokenizer->encode("").empty());
    CHECK(tokenizer->encode("", false).empty());
  }
  CHECK(load_golden("bpe-rules")->encode(" \n\t ").empty());  // extra spaces are removed, all of them
  CHECK(load_golden("bpe-bytes")->encode(" ").size() == 1);
}

TEST_CASE("text never becomes a control token; user-defined symbols do become themselves") {
  const auto tokenizer = load_golden("bpe-bytes");
  for (const Token& token : tokenizer->encode("<s></s><unk><0x41>")) CHECK(!tokenizer->bytes_of(token.id).empty());
  CHECK(tokenizer->decode(ids_of(tokenizer->encode("<s><0x41>")), true) == "<s><0x41>");
  CHECK(tokenizer->encode("[SEP]", false).size() == 1);
}

TEST_CASE("bytes of tokens, and what is outside the vocabulary") {
  const auto tokenizer = load_golden("bpe-bytes");
  CHECK(tokenizer->bytes_of(tokenizer->bos()).empty());
  CHECK(tokenizer->bytes_of(tokenizer->eos()).empty());
  CHECK(tokenizer->bytes_of(0) == " \u2047 ");
  CHECK(tokenizer->bytes_of(5) == std::string(1, '\0'));
  CHECK(tokenizer->bytes_of(5 + 255) == "\xFF");
  CHECK(error_of([&] { tokenizer->bytes_of(-1); }).kind() == ErrorKind::kMismatch);
  CHECK(error_of([&] { tokenizer->bytes_of(tokenizer->vocabulary_size()); }).kind() == ErrorKind::kMismatch);
}

TEST_CASE("tokens stream as whole characters without the first space") {
  const auto tokenizer = load_golden("bpe-bytes");
  const std::string text = " two  spaces, 🙂👩\u200d🚀 é\r\n";
  for (const bool is_start : {true, false}) {
    TextStream stream(*tokenizer, is_start);
    std::string out = stream.add(tokenizer->bos());
    for (const Token& token : tokenizer->encode(text)) {
      const std::string part = stream.add(token.id);
      CHECK(find_invalid_utf8(part) == std::string_view::npos);
      out += part;
    }
    CHECK(stream.finish().empty());
    CHECK(out == (is_start ? text : " " + text));
  }
  TextStream cut(*tokenizer, true);
  const std::vector<Token> emoji = tokenizer->encode("🙂", false);
  REQUIRE(emoji.size() == 4);
  CHECK(cut.add(emoji[0].id).empty());
  CHECK(cut.add(emoji[1].id).empty());
  CHECK(cut.add(tokenizer->encode("a", false)[0].id) == "\uFFFDa");
  CHECK(cut.add(emoji[0].id).empty());
  CHECK(cut.finish() == "\uFFFD");
}

TEST_CASE("threads share a tokenizer") {
  const auto tokenizer = load_golden("bpe-bytes");
  const std::string text = hostile_text(5000, 3);
  const std::vector<Token> expected = tokenizer->encode(text);
  std::vector<std::ptrdiff_t> differences(4, 0);
  {
    std::vector<std::jthread> threads;
    for (std::ptrdiff_t& difference : differences) {
      threads.emplace_back([&] {
        for (int i = 0; i < 10 && difference != 1; ++i) difference = first_difference(tokenizer->encode(text), expected) + 1;
      });
    }
  }
  CHECK(differences == std::vector<std::ptrdiff_t>(4, 0));
}

TEST_CASE("a directory's configuration decides about BOS and the prefix space") {
  TempDir dir;
  fs::copy_file(golden() / "bpe-bytes" / "tokenizer.model", dir.path() / "tokenizer.model");
  const auto load = [&](const std::string& config) {
    write_file(dir.path() / "tokenizer_config.json", config);
    return load_tokenizer(dir.path().string());
  };
  const auto plain = load_tokenizer(dir.path().string());
  CHECK(plain->bos() == 1);
  CHECK(plain->eos() == 2);
  CHECK(plain->has_prefix_space());
  CHECK(plain->fingerprint().size() == 64);
  CHECK(load("{}")->fingerprint() == plain->fingerprint());
  CHECK(load(R"({"legacy": true, "add_prefix_space": null})")->fingerprint() == plain->fingerprint());
  CHECK(load(R"({"legacy": false, "bos_token": {"content": "<s>"}})")->fingerprint() == plain->fingerprint());
  CHECK(load(R"({"tokenizer_class": "LlamaTokenizerFast", "bos_token": "<s>"})")->bos() == 1);

  const auto no_bos = load(R"({"add_bos_token": false})");
  CHECK(no_bos->bos() == -1);
  CHECK(no_bos->fingerprint() != plain->fingerprint());
  const auto no_prefix = load(R"({"add_prefix_space": false})");
  CHECK(!no_prefix->has_prefix_space());
  CHECK(no_prefix->fingerprint() != plain->fingerprint());
  CHECK(no_prefix->fingerprint() != no_bos->fingerprint());
  CHECK(ids_of(no_prefix->encode("the")) == ids_of(plain->encode("the", false)));
  CHECK(ids_of(plain->encode("the")) == ids_of(no_prefix->encode(" the")));
  CHECK(no_prefix->decode(ids_of(no_prefix->encode(" the")), true) == " the");

  const auto refuse = [&](const std::string& config) { return error_of([&] { load(config); }); };
  CHECK(refuse(R"({"tokenizer_class": "T5Tokenizer"})").reason() == "tokenizer_class T5Tokenizer is not supported");
  CHECK(refuse(R"({"tokenizer_class": "T5Tokenizer"})").kind() == ErrorKind::kMismatch);
  CHECK(refuse(R"({"bos_token": "<bos>"})").kind() == ErrorKind::kMismatch);
  CHECK(refuse(R"({"add_bos_token": 1})").kind() == ErrorKind::kData);
  CHECK(refuse(R"([1])").kind() == ErrorKind::kData);
  CHECK(refuse(R"({"add_bos_token": tru)").kind() == ErrorKind::kData);

  // A model file without a prefix gets one where transformers' newer behaviour adds it.
  fs::copy_file(golden() / "bpe-keep" / "tokenizer.model", dir.path() / "tokenizer.model",
                fs::copy_options::overwrite_existing);
  CHECK(!load("{}")->has_prefix_space());
  CHECK(load(R"({"legacy": false})")->has_prefix_space());
  CHECK(!load(R"({"legacy": false, "add_prefix_space": false})")->has_prefix_space());
  fs::copy_file(golden() / "bpe-rules" / "tokenizer.model", dir.path() / "tokenizer.model",
                fs::copy_options::overwrite_existing);
  CHECK(refuse(R"({"legacy": false})").kind() == ErrorKind::kMismatch);

  fs::copy_file(golden() / "char" / "tokenizer.model", dir.path() / "tokenizer.model", fs::copy_options::overwrite_existing);
  CHECK(load(R"({"add_bos_token": true})")->bos() == -1);  // this one has no BOS
}

TEST_CASE("what a directory may lack") {
  TempDir dir;
  const auto load = [&] { load_tokenizer(dir.path().string()); };
  CHECK(error_of(load).kind() == ErrorKind::kIo);
  write_file(dir.path() / "tokenizer.json", "{");
  CHECK(error_of(load).kind() == ErrorKind::kData);
  fs::copy_file(golden() / "bpe-bytes" / "tokenizer.model", dir.path() / "tokenizer.model");
  CHECK_NOTHROW(load());
  write_file(dir.path() / "tokenizer.model", "");
  CHECK(error_of(load).kind() == ErrorKind::kData);
  fs::remove(dir.path() / "tokenizer.model");
  fs::create_directory(dir.path() / "tokenizer.model");
  CHECK(error_of(load).kind() == ErrorKind::kIo);
}
