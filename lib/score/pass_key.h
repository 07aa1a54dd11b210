// The pass key in the text that landmark attention was measured with (arXiv 2305.16300, as its run_test.py has it). Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace uio {

// The text before the question: what is to be done, `before` characters of five sentences that repeat themselves, the key, and `after` such characters.
struct PassKey {
  std::uint64_t before = 0, after = 0;
  std::uint32_t key = 0;

  std::string context() const;            // ends with a line break
  static const std::string& question();  // the last line, up to the key
};

// How many characters of repeated sentences make a whole prompt of about `tokens` tokens, and no more.
std::uint64_t characters_of(const Tokenizer& tokenizer, std::uint64_t tokens);

// The ids of a text that begins a document, BOS first where there is one.
std::vector<std::int32_t> ids_of_text(const Tokenizer& tokenizer, const std::string& text);
// The ids of a key as it follows the question.
std::vector<std::int32_t> ids_of_key(const Tokenizer& tokenizer, std::uint32_t key);

// Whether the first number in `text` is the key (landmark attention counts so).
bool has_first_number(const std::string& text, std::uint32_t key);

}  // namespace uio
