// Tokenizers of the SentencePiece kind (Llama 2, Mistral, OpenLLaMA): the system's libsentencepiece, exact spans around it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace uio {

// What a directory's tokenizer_config.json decides about ids of plain text.
struct SentencePieceRules {
  bool add_bos = true;
  // Whether a document begins with a space that its text does not have; unset: the model file's add_dummy_prefix.
  enum class Prefix { kModel, kYes, kNo } prefix = Prefix::kModel;
  // transformers' `legacy: false`, which agrees with SentencePiece for plain text but under remove_extra_whitespaces.
  bool is_legacy = true;
  std::string bos_piece;  // what the configuration calls the beginning of a document; empty: not said
};

// `model` is the content of a tokenizer.model, `subject` its name for messages. Throws as load_tokenizer does.
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string_view model, const SentencePieceRules& rules,
                                                        const std::string& subject);

}  // namespace uio
