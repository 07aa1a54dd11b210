// Text to token ids and back, exactly, with the byte span of every token.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace uio {

class AddedTokens;

struct Token {
  std::int32_t id;
  std::uint64_t byte_end;  // end of its bytes in the text given; it begins where the one before it ends
};

// A tokenizer of a model directory. Immutable after loading; safe to share between threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // 64 hexadecimal digits: the tokenizer's file and the rules (BOS, prefix space) that decide its ids.
  virtual const std::string& fingerprint() const = 0;
  virtual std::int32_t vocabulary_size() const = 0;
  // Token that begins a document, or -1 where the directory's configuration adds none.
  virtual std::int32_t bos() const = 0;
  // End-of-sequence token of the tokenizer, or -1.
  virtual std::int32_t eos() const = 0;

  // Ids of a whole text, without BOS; never special tokens (`<s>` in text is text), but added ones that are not special. The spans tile the text. The text is
  // valid UTF-8. `is_start`: the text begins the document, so the tokenizer's prefix space applies. A text may have no token
  // at all: an empty one, or spaces where the tokenizer removes extra ones.
  // BPE: the ids that SentencePiece gives for the text at once. Unigram: the best path of every stretch between places where
  // the text may be cut; SentencePiece sums the whole text's scores in float32, so that among (nearly) equal paths its choice
  // depends on what came before (1 token in 4,000 to 40,000 or fewer); ours does not.
  virtual std::vector<Token> encode(std::string_view text, bool is_start = true) const = 0;
  // Longest prefix of `text` after which the text may be cut so that encode(prefix) + encode(rest, false) equals encode
  // of the whole, whatever follows `text`; 0 if there is none.
  virtual std::size_t safe_cut(std::string_view text) const = 0;
  // The bytes that a token stands for in running text (a word's leading space included); control tokens are empty, the
  // unknown token is what the model file shows for it. Throws Error{kMismatch} for an id outside the vocabulary.
  virtual std::string bytes_of(std::int32_t id) const = 0;
  // True if the tokenizer puts a space before the first word of a document, which decoding takes off again.
  virtual bool has_prefix_space() const = 0;
  // The special tokens, which encode() leaves text, with their ids; without those that take neighbouring spaces with them.
  virtual const AddedTokens& special_tokens() const = 0;

  // The ids as text: bytes_of each, the prefix space taken off when `is_start`.
  std::string decode(const std::vector<std::int32_t>& ids, bool is_start) const;
};

// Reads `directory`/tokenizer.model (SentencePiece) with the rules of tokenizer_config.json where there is one (add_bos_token,
// default true; add_prefix_space, legacy). Where there is none, or it is Llama 3's tiktoken list: tokenizer.json (byte-level
// BPE) with add_bos_token (default: what the file's post-processor does), bos_token and eos_token. Throws Error{kIo} when
// missing, Error{kData} when damaged, Error{kMismatch} naming what is not supported.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& directory);

// Token ids to text as they are made: hands out whole UTF-8 characters only, the prefix space taken off once.
class TextStream {
 public:
  // `is_start`: the text starts a document, so the first word's prefix space is dropped.
  TextStream(const Tokenizer& tokenizer, bool is_start);
  // What can be printed now; a cut character waits for its other bytes.
  std::string add(std::int32_t id);
  // What is left, as it is (invalid bytes become U+FFFD).
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  bool at_start_;
  std::string pending_;
};

}  // namespace uio
