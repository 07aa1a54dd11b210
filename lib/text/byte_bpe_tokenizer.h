// Tokenizers of the byte-level BPE kind (GPT-2, GPT-NeoX, Llama 3, Qwen 2 and 3), from tokenizer.json.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace uio {

// What a directory's tokenizer_config.json decides beside tokenizer.json.
struct ByteBpeRules {
  std::optional<bool> add_bos;       // unset: the post-processor of tokenizer.json
  std::string bos_token, eos_token;  // empty: not said
};

// `json` is the content of a tokenizer.json, `subject` its name for messages. Throws as load_tokenizer does.
std::unique_ptr<Tokenizer> make_byte_bpe_tokenizer(std::string_view json, const ByteBpeRules& rules,
                                                   const std::string& subject);

}  // namespace uio
