// The tokenizers that people have, on whole books: needs ../shared.
#include <nlohmann/json.hpp>

#include "text/sentencepiece_tokenizer.h"
#include "unit/text/fixtures.h"

using namespace uio;
using namespace text_test;

namespace {

std::vector<fs::path> real_models(const fs::path& data) {
  std::vector<fs::path> models = {data / "tokenizers/sentencepiece-test/test_model.model"};
  for (const char* name : {"llama2", "mistral-v1", "openllama-v2"})
    models.push_back(data / "tokenizers" / name / "tokenizer.model");
  for (const auto& entry : fs::directory_iterator(data / "models")) models.push_back(entry.path() / "tokenizer.model");
  return models;
}

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + separator.size();
  }
  return parts;
}

}  // namespace

TEST_CASE("real tokenizers: chunks give the tokens of the whole, on books, code, LaTeX and soup") {
  const fs::path data = shared_data();
  if (data.empty()) return;
  const std::vector<std::string> texts = {read_file(data / "books/A-Tale-of-Two-Cities_98.txt"),
                                          read_file(data / "text/code/leveldb.cc.txt"),
                                          read_file(data / "text/latex-hott-book/hott-book.tex.txt").substr(0, 400000),
                                          read_file(data / "text/wikitext-2/test.txt").substr(0, 400001),
                                          hostile_text(20000, 11),
                                          random_text(10000, 12)};
  std::vector<std::unique_ptr<Tokenizer>> tokenizers;
  std::vector<fs::path> paths = real_models(data);
  for (const fs::path& path : paths) tokenizers.push_back(make_sentencepiece_tokenizer(read_file(path), {}, path.string()));
  for (const char* name : {"llama3", "gpt-neox-20b", "minimind"}) {
    paths.push_back(data / "tokenizers" / name);
    tokenizers.push_back(load_tokenizer(paths.back().string()));
  }
  for (std::size_t t = 0; t < tokenizers.size(); ++t) {
    const Tokenizer* const tokenizer = tokenizers[t].get();
    const fs::path& path = paths[t];
    for (std::size_t i = 0; i < texts.size(); ++i) {
      REQUIRE(texts[i].size() > 10000);
      INFO(path << " text " << i);
      const std::vector<Token> whole = tokenizer->encode(texts[i]);
      CHECK(tiles(whole, texts[i].size()));
      CHECK(first_difference(encode_in_chunks(*tokenizer, texts[i], 5000, static_cast<unsigned>(i)), whole) == -1);
    }
  }
}

TEST_CASE("real tokenizers: ids of every golden directory") {
  const fs::path data = shared_data();
  if (data.empty()) return;
  int checked = 0;
  for (const auto& entry : fs::recursive_directory_iterator(data / "golden")) {
    if (entry.path().filename() != "expected.json") continue;
    const fs::path directory = entry.path().parent_path();
    const fs::path model = fs::exists(directory / "model") ? directory / "model" : directory;
    fs::path text = directory / "text.txt";
    if (!fs::exists(text)) text = directory.parent_path() / "text.txt";
    const auto expected = nlohmann::json::parse(read_file(entry.path()));
    if (!expected.contains("ids") || !fs::exists(model / "tokenizer.model") || !fs::exists(text)) continue;
    const auto tokenizer = load_tokenizer(model.string());
    std::vector<std::int32_t> ids = {tokenizer->bos()};
    for (const Token& token : tokenizer->encode(read_file(text))) ids.push_back(token.id);
    std::vector<std::int32_t> wanted = expected["ids"];
    INFO(directory);
    REQUIRE(wanted.size() > 10);
    REQUIRE(ids.size() >= wanted.size());
    ids.resize(wanted.size());
    CHECK(ids == wanted);
    ++checked;
  }
  CHECK(checked >= 3);
}

TEST_CASE("real tokenizers: the vectors of ggml") {
  const fs::path data = shared_data();
  if (data.empty()) return;
  const auto [directory, vectors] =
      GENERATE(table<std::string, std::string>({{"llama2", "llama-spm"}, {"llama3", "llama-bpe"}}));
  const auto tokenizer = load_tokenizer((data / "tokenizers" / directory).string());
  const std::string stem = (data / "tokenizers/ggml-vocab" / ("ggml-vocab-" + vectors + ".gguf")).string();
  const std::vector<std::string> texts = split(read_file(stem + ".inp"), "\n__ggml_vocab_test__\n");
  const std::vector<std::string> lines = split(read_file(stem + ".out"), "\n");
  REQUIRE(texts.size() > 40);
  REQUIRE(lines.size() >= texts.size() - 1);
  std::size_t checked = 0;
  for (std::size_t i = 0; i < texts.size() && i < lines.size(); ++i) {
    if (i + 1 == texts.size() && texts[i].empty()) break;  // behind the last separator
    std::vector<std::int32_t> wanted;
    std::istringstream in(lines[i]);
    for (std::int32_t id; in >> id;) wanted.push_back(id);
    INFO("text " << i << ": " << texts[i]);
    CHECK(ids_of(tokenizer->encode(texts[i])) == wanted);
    ++checked;
  }
  CHECK(checked >= 40);
}

TEST_CASE("real tokenizers: others' formats are refused by name") {
  const fs::path data = shared_data();
  if (data.empty()) return;
  const std::string list = read_file(data / "tokenizers/llama3/tokenizer.model");
  const Error tiktoken = error_of([&] { make_sentencepiece_tokenizer(list, {}, "llama3"); });
  CHECK(tiktoken.kind() == ErrorKind::kMismatch);
  CHECK(tiktoken.reason().find("tiktoken") != std::string::npos);
}
