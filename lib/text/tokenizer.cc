// Which tokenizer a model directory has, and ids back to text.
#include "text/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <optional>

#include "base/error.h"
#include "io/file.h"
#include "io/json.h"
#include "io/path.h"
#include "text/byte_bpe_tokenizer.h"
#include "text/sentencepiece_model.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/utf8.h"

namespace uio {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxModelBytes = 256u << 20, kMaxJsonBytes = 64u << 20;

// A boolean of the configuration; nothing where it is absent or null.
std::optional<bool> read_flag(const Json& config, const char* key, const std::string& path) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return std::nullopt;
  if (!found->is_boolean())
    throw Error(ErrorKind::kData, "wrong tokenizer configuration", path, std::string(key) + " is not true or false");
  return found->get<bool>();
}

// A special token is named by its text or by an object that holds it as "content".
std::string read_token_name(const Json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end()) return {};
  if (found->is_string()) return found->get<std::string>();
  if (found->is_object() && found->contains("content") && found->at("content").is_string()) return found->at("content");
  return {};
}

// The configuration, whose class is one of those that do what this program does: others surround the tokens with further rules
// (prefixes, languages, suffixes).
Json read_configuration(const std::string& path, std::initializer_list<std::string_view> classes) {
  Json config = read_json(path);
  if (!config.is_object()) throw Error(ErrorKind::kData, "wrong tokenizer configuration", path, "it is not a JSON object");
  if (const auto found = config.find("tokenizer_class"); found != config.end() && !found->is_null()) {
    const std::string name = found->is_string() ? found->get<std::string>() : found->dump();
    if (std::find(classes.begin(), classes.end(), name) == classes.end()) {
      throw Error(ErrorKind::kMismatch, "unsupported tokenizer", path, "tokenizer_class " + name + " is not supported");
    }
  }
  return config;
}

SentencePieceRules read_sentencepiece_rules(const std::string& path) {
  const Json config =
      read_configuration(path, {"LlamaTokenizer", "LlamaTokenizerFast", "CodeLlamaTokenizer", "CodeLlamaTokenizerFast"});
  SentencePieceRules rules;
  rules.add_bos = read_flag(config, "add_bos_token", path).value_or(true);
  rules.is_legacy = read_flag(config, "legacy", path).value_or(true);
  rules.bos_piece = read_token_name(config, "bos_token");
  // transformers: with `legacy` the model file decides unless the prefix is switched off; without, add_prefix_space alone.
  using Prefix = SentencePieceRules::Prefix;
  const std::optional<bool> prefix = read_flag(config, "add_prefix_space", path);
  if (prefix == false) {
    rules.prefix = Prefix::kNo;
  } else if (!rules.is_legacy) {
    rules.prefix = Prefix::kYes;
  }
  return rules;
}

ByteBpeRules read_byte_bpe_rules(const std::string& path) {
  const Json config =
      read_configuration(path, {"PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend", "GPT2Tokenizer",
                                "GPT2TokenizerFast", "GPTNeoXTokenizer", "GPTNeoXTokenizerFast", "LlamaTokenizer",
                                "LlamaTokenizerFast", "Qwen2Tokenizer", "Qwen2TokenizerFast"});
  for (const char* key : {"add_eos_token", "add_prefix_space"}) {
    if (read_flag(config, key, path) == true) {
      throw Error(ErrorKind::kMismatch, "unsupported tokenizer", path,
                  std::string(key) + " is not supported with tokenizer.json");
    }
  }
  ByteBpeRules rules;
  rules.add_bos = read_flag(config, "add_bos_token", path);
  rules.bos_token = read_token_name(config, "bos_token");
  rules.eos_token = read_token_name(config, "eos_token");
  return rules;
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& directory) {
  const fs::path base(directory);
  const std::string model = (base / "tokenizer.model").string(), json = (base / "tokenizer.json").string();
  const std::string config = (base / "tokenizer_config.json").string();
  const bool has_config = path_exists(config), has_json = path_exists(json);
  if (!has_json || path_exists(model)) {
    const std::string bytes = read_all(*open_source(model), kMaxModelBytes);
    if (!has_json || !is_tiktoken_list(bytes)) {
      return make_sentencepiece_tokenizer(bytes, has_config ? read_sentencepiece_rules(config) : SentencePieceRules(), model);
    }
  }
  const std::string bytes = read_all(*open_source(json), kMaxJsonBytes);
  return make_byte_bpe_tokenizer(bytes, has_config ? read_byte_bpe_rules(config) : ByteBpeRules(), json);
}

std::string Tokenizer::decode(const std::vector<std::int32_t>& ids, bool is_start) const {
  std::string text;
  for (const std::int32_t id : ids) text += bytes_of(id);
  if (is_start && has_prefix_space() && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

TextStream::TextStream(const Tokenizer& tokenizer, bool is_start)
    : tokenizer_(tokenizer), at_start_(is_start && tokenizer.has_prefix_space()) {}

std::string TextStream::add(std::int32_t id) {
  std::string bytes = tokenizer_.bytes_of(id);
  if (at_start_ && !bytes.empty()) {
    if (bytes.front() == ' ') bytes.erase(0, 1);
    at_start_ = false;
  }
  pending_ += bytes;
  const std::size_t whole = whole_utf8_prefix(pending_);
  std::string text = replace_invalid_utf8(std::string_view(pending_).substr(0, whole));
  pending_.erase(0, whole);
  return text;
}

std::string TextStream::finish() {
  std::string text = replace_invalid_utf8(pending_);
  pending_.clear();
  return text;
}

}  // namespace uio
