#include "text/byte_bpe_tokenizer.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "text/utf8.h"
#include "unit/text/fixtures.h"

using namespace uio;
using namespace text_test;
using nlohmann::json;

namespace {

const std::vector<std::string> kNames = {"gpt2", "neox", "llama3", "qwen2", "stages"};

fs::path folder(const std::string& name) { return golden() / ("byte-bpe-" + name); }
std::unique_ptr<Tokenizer> load(const std::string& name) { return load_tokenizer(folder(name).string()); }
json golden_json(const std::string& name) { return json::parse(read_file(folder(name) / "tokenizer.json")); }

std::unique_ptr<Tokenizer> make(const json& file, const ByteBpeRules& rules = {}) {
  return make_byte_bpe_tokenizer(file.dump(), rules, "t.json");
}

// What tokenizers with and without regard to special tokens get wrong, and NFC.
std::string soup(std::size_t parts, unsigned seed) {
  static const std::vector<std::string> kParts = {" ",
                                                  "  ",
                                                  "    ",
                                                  "\n",
                                                  "\r\n",
                                                  "a",
                                                  "e",
                                                  " the",
                                                  "ing",
                                                  "'s",
                                                  "'",
                                                  "12",
                                                  "7",
                                                  ".",
                                                  "--",
                                                  "\u0301",
                                                  "\u0323",
                                                  "é",
                                                  "e\u0301",
                                                  "\u212b",
                                                  "\uac00",
                                                  "\u1100\u1161\u11a8",
                                                  "\u0915\u093c",
                                                  "\u0344",
                                                  "你好",
                                                  "，",
                                                  "🙂",
                                                  "\u00a0",
                                                  "\u180e",
                                                  "\u0663",
                                                  "<think>",
                                                  "</think>",
                                                  "<|endoftext|>",
                                                  "<thi",
                                                  "<|",
                                                  "\U00011930",
                                                  "\u07fd",
                                                  "=",
                                                  "\u0338",
                                                  "\u1e9b",
                                                  std::string(1, '\0')};
  std::mt19937 random(seed);
  std::string text;
  for (std::size_t i = 0; i < parts; ++i) text += kParts[random() % kParts.size()];
  return text;
}

}  // namespace

TEST_CASE("byte-level BPE: ids are those of the tokenizers package") {
  const std::vector<std::string> texts = golden_texts("byte_bpe_texts.jsonl");
  REQUIRE(texts.size() > 70);
  for (const std::string& name : kNames) {
    const auto tokenizer = load(name);
    std::ifstream in(folder(name) / "vectors.jsonl");
    std::size_t row = 0;
    for (std::string line; std::getline(in, line); ++row) {
      INFO(name << " text " << row << ": " << texts.at(row));
      const std::vector<Token> tokens = tokenizer->encode(texts.at(row));
      CHECK(ids_of(tokens) == json::parse(line).get<std::vector<std::int32_t>>());
      CHECK(tiles(tokens, texts.at(row).size()));
    }
    CHECK(row == texts.size());
  }
}

TEST_CASE("byte-level BPE: spans tile, and decoding gives the text back") {
  for (const std::string& name : kNames) {
    const auto tokenizer = load(name);
    const bool has_nfc = name == "neox" || name == "qwen2";
    for (unsigned seed = 0; seed < 16; ++seed) {
      const std::string text = seed % 2 ? soup(300, seed) : random_text(300, seed);
      const std::vector<Token> tokens = tokenizer->encode(text);
      INFO(name << " seed " << seed);
      CHECK(tiles(tokens, text.size()));
      const std::string decoded = tokenizer->decode(ids_of(tokens), true);
      if (!has_nfc) CHECK(decoded == text);
      // What is in normal form already comes back as it is.
      const std::vector<Token> again = tokenizer->encode(decoded);
      CHECK(tokenizer->decode(ids_of(again), true) == decoded);
    }
  }
}

TEST_CASE("byte-level BPE: chunks that end at safe cuts give the tokens of the whole") {
  for (const std::string& name : kNames) {
    const auto tokenizer = load(name);
    for (unsigned seed = 0; seed < 16; ++seed) {
      const std::string text = seed % 4 == 3   ? random_text(2000, seed)
                               : seed % 4 == 2 ? hostile_text(2000, seed)
                                               : soup(2000, seed);
      const std::vector<Token> whole = tokenizer->encode(text);
      for (const std::size_t step : {1, 7, 100}) {
        INFO(name << " seed " << seed << " step " << step);
        CHECK(first_difference(encode_in_chunks(*tokenizer, text, step, seed), whole) == -1);
      }
    }
  }
}

TEST_CASE("byte-level BPE: a safe cut keeps its promise whatever follows, and known patterns have one nearby") {
  for (const std::string& name : kNames) {
    const auto tokenizer = load(name);
    for (const std::string text :
         {"The harbour was quiet before sunrise; only the gulls", "一二三，四五六，七八九", "1 2 3 4 5", "--- --- ---"}) {
      const std::size_t cut = tokenizer->safe_cut(text);
      INFO(name << ": " << text);
      if (name == "stages") {
        CHECK(cut == 0);
        continue;
      }
      CHECK(cut > 0);
      CHECK(cut + 12 >= text.size());
      for (const std::string more : {"", "s", "\u0301", "\u0338", " ", "\n", "'s", "1", "<think>", "🙂", "\u11a8"}) {
        const std::string all = text + more;
        std::vector<std::int32_t> joined = ids_of(tokenizer->encode(all.substr(0, cut)));
        for (const std::int32_t id : ids_of(tokenizer->encode(all.substr(cut), false))) joined.push_back(id);
        CHECK(joined == ids_of(tokenizer->encode(all)));
      }
    }
    CHECK(tokenizer->safe_cut("") == 0);
    CHECK(tokenizer->safe_cut("a") == 0);
    CHECK(tokenizer->safe_cut(std::string(1000, 'a')) == 0);
  }
}

TEST_CASE("byte-level BPE: long words, by their merges as short ones are") {
  const auto tokenizer = load("gpt2");
  for (unsigned seed = 0; seed < 50; ++seed) {  // the plain definition: the earliest merge, the leftmost place
    const json model = golden_json("gpt2")["model"];
    std::mt19937 random(seed);
    std::string word;
    for (int i = 0; i < 40 + static_cast<int>(seed) % 30; ++i) word += "thearing"[random() % 8];
    std::vector<std::string> parts;
    for (const char c : word) parts.emplace_back(1, c);
    for (const json& merge : model["merges"]) {
      const std::string left = merge[0], right = merge[1];
      for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
        if (parts[i] != left || parts[i + 1] != right) continue;
        parts[i] += right;
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
    std::vector<std::int32_t> wanted;
    for (const std::string& part : parts) wanted.push_back(model["vocab"][part]);
    CHECK(ids_of(tokenizer->encode(word)) == wanted);
  }
  CHECK(tokenizer->decode(ids_of(tokenizer->encode(std::string(300000, 'e'))), true) == std::string(300000, 'e'));
}

TEST_CASE("byte-level BPE: text never becomes a special token; other added tokens are found in text") {
  for (const std::string& name : kNames) {
    const auto tokenizer = load(name);
    for (const json& added : golden_json(name)["added_tokens"]) {
      const std::vector<std::int32_t> ids = ids_of(tokenizer->encode(added["content"].get<std::string>()));
      if (added["special"]) {
        CHECK(std::find(ids.begin(), ids.end(), added["id"].get<std::int32_t>()) == ids.end());
        CHECK(tokenizer->bytes_of(added["id"]).empty());
      } else {
        CHECK(ids == std::vector<std::int32_t>{added["id"]});
        CHECK(tokenizer->bytes_of(added["id"]) == added["content"]);
      }
    }
    CHECK(error_of([&] { tokenizer->bytes_of(-1); }).kind() == ErrorKind::kMismatch);
    CHECK(error_of([&] { tokenizer->bytes_of(tokenizer->vocabulary_size()); }).kind() == ErrorKind::kMismatch);
  }
}

TEST_CASE("byte-level BPE: tokens stream as whole characters") {
  const auto tokenizer = load("gpt2");
  const std::string text = " two  spaces, 🙂👩\u200d🚀 é\r\n";
  TextStream stream(*tokenizer, true);
  std::string out;
  for (const Token& token : tokenizer->encode(text)) {
    const std::string part = stream.add(token.id);
    CHECK(find_invalid_utf8(part) == std::string_view::npos);
    out += part;
  }
  CHECK(out == text);
}

TEST_CASE("byte-level BPE: BOS and EOS, by the file and by the configuration") {
  CHECK(load("gpt2")->bos() == -1);
  CHECK(load("gpt2")->eos() == -1);
  CHECK(load("llama3")->bos() == 440);
  const json file = golden_json("llama3");
  CHECK(make(file, {.add_bos = false})->bos() == -1);
  CHECK(make(file, {.add_bos = true})->bos() == 440);
  CHECK(make(file, {.bos_token = "<|begin_of_text|>", .eos_token = "<|eot_id|>"})->eos() == 442);
  CHECK(make(file)->fingerprint() != make(file, {.add_bos = false})->fingerprint());
  CHECK(error_of([&] { make(file, {.bos_token = "<|eot_id|>"}); }).kind() == ErrorKind::kMismatch);
  CHECK(error_of([&] { make(file, {.eos_token = "nothing"}); }).kind() == ErrorKind::kMismatch);
  CHECK(make(golden_json("gpt2"), {.add_bos = true, .bos_token = "<|endoftext|>"})->bos() ==
        make(golden_json("gpt2"))->vocabulary_size() - 1);
  CHECK(error_of([&] { make(golden_json("gpt2"), {.add_bos = true}); }).kind() == ErrorKind::kMismatch);

  TempDir dir;
  fs::copy_file(folder("llama3") / "tokenizer.json", dir.path() / "tokenizer.json");
  const auto with = [&](const std::string& config) {
    write_file(dir.path() / "tokenizer_config.json", config);
    return load_tokenizer(dir.path().string());
  };
  CHECK(with(R"({"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": false})")->bos() == -1);
  CHECK(with(R"({"eos_token": {"content": "<|end_of_text|>"}})")->eos() == 441);
  CHECK(error_of([&] { with(R"({"tokenizer_class": "T5TokenizerFast"})"); }).kind() == ErrorKind::kMismatch);
  CHECK(error_of([&] { with(R"({"add_eos_token": true})"); }).kind() == ErrorKind::kMismatch);
  CHECK(error_of([&] { with(R"({"add_prefix_space": true})"); }).kind() == ErrorKind::kMismatch);
  // A tiktoken list beside it is passed over, a SentencePiece model is not.
  fs::remove(dir.path() / "tokenizer_config.json");
  write_file(dir.path() / "tokenizer.model", "IQ== 0\nIg== 1\n");
  CHECK(load_tokenizer(dir.path().string())->vocabulary_size() == 443);
  fs::copy_file(golden() / "bpe-bytes" / "tokenizer.model", dir.path() / "tokenizer.model",
                fs::copy_options::overwrite_existing);
  CHECK(load_tokenizer(dir.path().string())->has_prefix_space());
}

TEST_CASE("byte-level BPE: merges in both spellings are the same") {
  json file = golden_json("gpt2");
  const auto pairs = make(file);
  for (json& merge : file["model"]["merges"]) merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  const auto strings = make(file);
  for (const std::string& text : golden_texts("byte_bpe_texts.jsonl")) CHECK(ids_of(pairs->encode(text)) == ids_of(strings->encode(text)));
}

TEST_CASE("byte-level BPE: what is not supported is refused by name") {
  const auto refusal = [](const std::string& at, const json& value) {
    json file = golden_json("qwen2");
    file[json::json_pointer(at)] = value;
    const Error error = error_of([&] { make(file); });
    INFO(at << ": " << error.what());
    CHECK(error.kind() == ErrorKind::kMismatch);
    return error.reason();
  };
  const auto names = [](const std::string& reason, const std::string& word) {
    INFO(reason);
    CHECK(reason.find(word) != std::string::npos);
  };
  names(refusal("/version", "2.0"), "version");
  names(refusal("/truncation", json::object()), "truncation");
  names(refusal("/padding", json::object()), "padding");
  names(refusal("/novelty", 1), "novelty");
  for (const char* type : {"Unigram", "WordPiece", "WordLevel"}) names(refusal("/model/type", type), type);
  names(refusal("/model/dropout", 0.1), "dropout");
  names(refusal("/model/continuing_subword_prefix", "##"), "continuing_subword_prefix");
  names(refusal("/model/end_of_word_suffix", "</w>"), "end_of_word_suffix");
  names(refusal("/model/byte_fallback", true), "byte_fallback");
  names(refusal("/model/novelty", true), "novelty");
  for (const char* type : {"NFKC", "Lowercase", "Replace"}) names(refusal("/normalizer", {{"type", type}}), type);
  names(refusal("/normalizer", {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, {{"type", "Strip"}}}}}), "Strip");
  names(refusal("/pre_tokenizer", nullptr), "ByteLevel");
  for (const char* type : {"Whitespace", "Metaspace", "BertPreTokenizer"})
    names(refusal("/pre_tokenizer", {{"type", type}}), type);
  names(refusal("/pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", true}}), "add_prefix_space");
  const std::string split = "/pre_tokenizer/pretokenizers/0/";
  names(refusal(split + "behavior", "Removed"), "Removed");
  for (const char* pattern :
       {"a|\\w+", "(?<=a)b", "a.c", "^a", "\\p{Han}+", "(?i:stop)", "a*", "(?:a*)+", "[a&&b]", "(a)\\1", "a{2}+", "(?m)a"}) {
    names(refusal(split + "pattern", {{"Regex", pattern}}), "pattern");
  }
  names(refusal("/decoder", nullptr), "decoder");
  names(refusal("/decoder", {{"type", "Metaspace"}}), "Metaspace");
  names(refusal("/post_processor", {{"type", "BertProcessing"}}), "BertProcessing");
  const json text = {{"Sequence", {{"id", "A"}}}}, end = {{"SpecialToken", {{"id", "<|im_end|>"}}}};
  names(refusal("/post_processor", {{"type", "TemplateProcessing"}, {"single", {text, end}}}), "template");
  for (const char* key : {"single_word", "lstrip", "rstrip"}) names(refusal("/added_tokens/3/" + std::string(key), true), key);
}

TEST_CASE("byte-level BPE: damage is told from what is not supported") {
  const auto damage = [](const std::function<void(json&)>& change, const std::string& word) {
    json file = golden_json("gpt2");
    change(file);
    const Error error = error_of([&] { make(file); });
    INFO(word << ": " << error.what());
    CHECK(error.kind() == ErrorKind::kData);
    CHECK(error.reason().find(word) != std::string::npos);
  };
  damage([](json& f) { f = json::array(); }, "not a JSON object");
  damage([](json& f) { f["model"] = 1; }, "model");
  damage([](json& f) { f["model"]["vocab"] = json::array({1}); }, "vocab");
  damage([](json& f) { f["model"]["vocab"]["a"] = "x"; }, "whole number");
  damage([](json& f) { f["model"]["vocab"]["a"] = -3; }, "whole number");
  damage([](json& f) { f["model"]["vocab"]["a"] = 4000000000u; }, "beyond");
  damage([](json& f) { f["model"]["vocab"]["a"] = f["model"]["vocab"]["b"]; }, "given twice");
  damage([](json& f) { f["model"]["vocab"]["zzz"] = 5000; }, "no token has the id");
  damage([](json& f) { f["model"]["merges"].push_back("one"); }, "not two parts");
  damage([](json& f) { f["model"]["merges"].push_back({"a", "b", "c"}); }, "not two parts");
  damage([](json& f) { f["model"]["merges"].push_back({"zq", "x"}); }, "not in the vocabulary");
  damage([](json& f) { f["model"]["merges"].push_back({"q", "q"}); }, "not in the vocabulary");
  damage([](json& f) { f["model"]["merges"].push_back(f["model"]["merges"][0]); }, "given twice");
  damage([](json& f) { f["added_tokens"][0]["id"] = -1; }, "out of bounds");
  damage([](json& f) { f["added_tokens"][0]["id"] = 3; }, "given twice");
  damage([](json& f) { f["added_tokens"].push_back(f["added_tokens"][0]); }, "twice");
  damage([](json& f) { f["added_tokens"][0]["content"] = ""; }, "bytes");
  damage([](json& f) { f["added_tokens"][0]["content"] = 5; }, "not a string");
  const auto text_damage = [](const std::string& text, const std::string& word) {
    const Error error = error_of([&] { make_byte_bpe_tokenizer(text, {}, "t.json"); });
    INFO(error.what());
    CHECK(error.kind() == ErrorKind::kData);
    CHECK(error.reason().find(word) != std::string::npos);
  };
  const std::string whole = read_file(folder("gpt2") / "tokenizer.json");
  for (std::size_t size = 0; size < whole.size(); size += 97) text_damage(whole.substr(0, size), "");
  const std::string key = R"("vocab":{)";
  text_damage(std::string(whole).insert(whole.find(key) + key.size(), R"("a":0,)"), "given twice");
}

TEST_CASE("byte-level BPE: hostile files end in an error, in bounded memory") {
  const auto error = [](const std::string& text) { return error_of([&] { make_byte_bpe_tokenizer(text, {}, "t.json"); }); };
  CHECK(error(std::string(1 << 20, '[')).kind() == ErrorKind::kData);
  std::string many = R"({"version":"1.0","added_tokens":[)";
  for (int i = 0; i < 1000000; ++i) many += R"({"id":1,"content":"a"},)";
  CHECK(error(many + "1]}").reason().find("values") != std::string::npos);
  std::string merges = R"({"version":"1.0","model":{"type":"BPE","vocab":{},"merges":[)";
  for (int i = 0; i < 3000000; ++i) merges += R"("a b",)";
  CHECK(error(merges + "\"a b\"]}}").reason().find("merges") != std::string::npos);

  // Patterns that would take forever are given up.
  for (const char* pattern : {R"((?:a+)+b|\s+)", R"((?:a|a|a)+b)", R"(a+a+a+a+a+b)", R"((?:\p{L}+\p{L}+)+\p{N})"}) {
    json file = golden_json("qwen2");
    file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = pattern;
    const auto tokenizer = make(file);
    INFO(pattern);
    const Error slow = error_of([&] { tokenizer->encode(std::string(20000, 'a') + "?1b"); });
    CHECK(slow.kind() == ErrorKind::kData);
    CHECK(slow.reason().find("takes too long") != std::string::npos);
    CHECK(ids_of(tokenizer->encode("ab")) == ids_of(tokenizer->encode("ab")));
  }
  // A million marks in the wrong order, and of spaces, are no trouble.
  const auto qwen = load("qwen2");
  std::string marks = "e";
  for (int i = 0; i < 200000; ++i) marks += i % 2 ? "\u0323" : "\u0301";
  CHECK(tiles(qwen->encode(marks), marks.size()));
  CHECK(tiles(qwen->encode(std::string(1000000, ' ')), 1000000));
  CHECK(tiles(qwen->encode(std::string(1000000, ' ') + "x"), 1000001));
}
