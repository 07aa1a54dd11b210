// A text is parted at its added tokens, what is between them is normalised and parted into words, and each word becomes tokens
// by its own merges; a cache remembers the common words.
#include "text/byte_bpe_tokenizer.h"

#include <mutex>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "base/quote.h"
#include "text/added_tokens.h"
#include "text/byte_pairs.h"
#include "text/nfc.h"
#include "text/pretokenizer.h"
#include "text/tokenizer_json.h"
#include "text/unit_cache.h"
#include "text/utf8.h"

namespace uio {
namespace {

class ByteBpeTokenizer : public Tokenizer {
 public:
  ByteBpeTokenizer(TokenizerJson file, std::string_view json, const ByteBpeRules& rules, const std::string& subject);

  const std::string& fingerprint() const override { return fingerprint_; }
  std::int32_t vocabulary_size() const override { return static_cast<std::int32_t>(bytes_.size()); }
  std::int32_t bos() const override { return bos_; }
  std::int32_t eos() const override { return eos_; }
  bool has_prefix_space() const override { return false; }
  std::vector<Token> encode(std::string_view text, bool is_start) const override;
  std::size_t safe_cut(std::string_view text) const override;
  std::string bytes_of(std::int32_t id) const override;
  const AddedTokens& special_tokens() const override { return special_; }

 private:
  void encode_stretch(std::string_view text, std::uint64_t offset, UnitCache& cache, std::vector<Token>& tokens) const;
  void encode_words(std::string_view text, std::uint64_t offset, UnitCache& cache, std::vector<Token>& tokens) const;
  std::vector<Token> encode_unit(std::string_view unit) const;
  bool may_part(char32_t a, char32_t b) const;

  std::string subject_, fingerprint_;
  std::vector<std::string> bytes_;                            // per id; special tokens: empty
  std::unordered_map<std::string_view, std::int32_t> words_;  // into bytes_; where merges are ignored for words
  AddedTokens added_, added_normalized_;                      // looked for before and after normalisation
  AddedTokens special_;
  BytePairs pairs_;
  Pretokenizer pretokenizer_;
  bool has_nfc_;
  std::int32_t bos_ = -1, eos_ = -1;
  mutable std::mutex mutex_;
  mutable UnitCache cache_;  // guarded by mutex_
};

ByteBpeTokenizer::ByteBpeTokenizer(TokenizerJson file, std::string_view json, const ByteBpeRules& rules,
                                   const std::string& subject)
    : subject_(subject),
      bytes_(std::move(file.bytes)),
      pairs_(file.byte_ids, file.merges),
      pretokenizer_(file.stages, subject),
      has_nfc_(file.has_nfc),
      bos_(file.bos) {
  const auto id_of = [&](const std::string& token, const char* what) {
    for (const AddedToken& added : file.added) {
      if (added.content == token) return added.id;
    }
    throw Error(ErrorKind::kMismatch, "unsupported tokenizer", subject,
                std::string("the configuration's ") + what + " " + quote(token) + " is not an added token");
  };
  if (!rules.eos_token.empty()) eos_ = id_of(rules.eos_token, "eos_token");
  if (rules.add_bos == false) {
    bos_ = -1;
  } else if (rules.add_bos == true || bos_ >= 0) {
    const std::int32_t named = rules.bos_token.empty() ? bos_ : id_of(rules.bos_token, "bos_token");
    if (named < 0 || (bos_ >= 0 && named != bos_)) {
      throw Error(ErrorKind::kMismatch, "unsupported tokenizer", subject,
                  named < 0 ? "add_bos_token is true, but there is no bos_token"
                            : "the configuration's bos_token is not the one that the post_processor adds");
    }
    bos_ = named;
  }

  for (const AddedToken& token : file.added) {
    (token.is_normalized ? added_normalized_ : added_).add(token.content, token.is_special ? AddedTokens::kText : token.id);
    if (token.is_special) bytes_[token.id].clear();
    if (token.is_special && !token.strips) special_.add(token.content, token.id);
  }
  if (file.ignores_merges) {
    std::vector<bool> is_word(bytes_.size(), true);
    for (const AddedToken& token : file.added) is_word[token.id] = token.is_entry && !token.is_special;
    words_.reserve(bytes_.size());
    for (std::size_t id = 0; id < bytes_.size(); ++id) {
      if (is_word[id]) words_.emplace(bytes_[id], static_cast<std::int32_t>(id));
    }
  }

  Hasher hasher;
  hasher.add_field("uio-tokenizer 1: tokenizer.json");
  hasher.add_field(json);
  hasher.add_field("bos " + std::to_string(bos_));
  fingerprint_ = hasher.hex();
}

std::vector<Token> ByteBpeTokenizer::encode_unit(std::string_view unit) const {
  std::vector<Token> tokens;
  if (const auto word = words_.find(unit); word != words_.end()) return {{word->second, unit.size()}};
  std::vector<std::int32_t> ids;
  pairs_.encode(unit, ids);
  tokens.reserve(ids.size());
  std::uint64_t end = 0;
  for (const std::int32_t id : ids) tokens.push_back({id, end += bytes_[id].size()});
  return tokens;
}

// Appends the tokens of text in its normal form; `offset` is added to their ends.
void ByteBpeTokenizer::encode_words(std::string_view text, std::uint64_t offset, UnitCache& cache,
                                    std::vector<Token>& tokens) const {
  const auto append = [&](std::span<const Token> unit, std::uint64_t begin) {
    for (const Token& token : unit) tokens.push_back({token.id, offset + begin + token.byte_end});
  };
  const Pretokenizer::Visit encode_word = [&](std::size_t begin, std::size_t end) {
    const std::string_view unit = text.substr(begin, end - begin);
    append(cache.find_or_make(unit, [&] { return encode_unit(unit); }), begin);
  };
  if (added_normalized_.empty()) {
    pretokenizer_.part(text, encode_word);
    return;
  }
  added_normalized_.part(text, [&](std::size_t begin, std::size_t end, std::int32_t id) {
    if (id != AddedTokens::kText) {
      tokens.push_back({id, offset + end});
    } else {
      pretokenizer_.part(text.substr(begin, end - begin),
                         [&](std::size_t from, std::size_t to) { encode_word(begin + from, begin + to); });
    }
  });
}

// Appends the tokens of text between added tokens.
void ByteBpeTokenizer::encode_stretch(std::string_view text, std::uint64_t offset, UnitCache& cache,
                                      std::vector<Token>& tokens) const {
  if (!has_nfc_) {
    encode_words(text, offset, cache, tokens);
    return;
  }
  OriginalOffsets offsets;
  const std::string normal = to_nfc(text, offsets);
  const std::size_t first = tokens.size();
  encode_words(normal, 0, cache, tokens);
  for (std::size_t i = first; i < tokens.size(); ++i) tokens[i].byte_end = offset + offsets.at(tokens[i].byte_end);
}

std::vector<Token> ByteBpeTokenizer::encode(std::string_view text, bool) const {
  if (const std::size_t invalid = find_invalid_utf8(text); invalid != std::string_view::npos) {
    throw Error(ErrorKind::kInternal, "text that is not UTF-8 reached the tokenizer", subject_,
                "at byte " + std::to_string(invalid));
  }
  std::vector<Token> tokens;
  tokens.reserve(text.size() / 3);
  // Threads that meet do not wait for each other: the second works with a cache of its own.
  UnitCache own;
  std::unique_lock lock(mutex_, std::try_to_lock);
  UnitCache& cache = lock.owns_lock() ? cache_ : own;
  added_.part(text, [&](std::size_t begin, std::size_t end, std::int32_t id) {
    if (id != AddedTokens::kText) {
      tokens.push_back({id, end});
    } else {
      encode_stretch(text.substr(begin, end - begin), begin, cache, tokens);
    }
  });
  return tokens;
}

// Where no added token reaches over, normalisation leaves both neighbours alone and they are of two words.
bool ByteBpeTokenizer::may_part(char32_t a, char32_t b) const {
  return pretokenizer_.may_part(a, b) && added_.may_part(a, b) && added_normalized_.may_part(a, b) &&
         (!has_nfc_ || (stands_in_nfc(a) && stands_in_nfc(b)));
}

std::size_t ByteBpeTokenizer::safe_cut(std::string_view text) const {
  return last_place_between(text, [this](char32_t a, char32_t b) { return may_part(a, b); });
}

std::string ByteBpeTokenizer::bytes_of(std::int32_t id) const {
  if (id < 0 || id >= vocabulary_size()) {
    throw Error(ErrorKind::kMismatch, "token outside the vocabulary", std::to_string(id),
                "the tokenizer has " + std::to_string(vocabulary_size()) + " tokens");
  }
  return bytes_[id];
}

}  // namespace

std::unique_ptr<Tokenizer> make_byte_bpe_tokenizer(std::string_view json, const ByteBpeRules& rules,
                                                   const std::string& subject) {
  return std::make_unique<ByteBpeTokenizer>(parse_tokenizer_json(json, subject), json, rules, subject);
}

}  // namespace uio
