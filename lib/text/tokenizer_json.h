// What a tokenizer.json says (the format of the `tokenizers` package), read strictly: byte-level BPE.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/byte_pairs.h"
#include "text/pretokenizer.h"

namespace uio {

struct AddedToken {
  std::string content;
  std::int32_t id = -1;
  bool is_special = false;
  bool is_normalized = false;  // looked for after normalisation
  bool strips = false;         // takes neighbouring spaces with it, or stands for a whole word only; special ones may
  bool is_entry = false;       // of the vocabulary too
};

struct TokenizerJson {
  std::vector<std::string> bytes;          // of each id in running text: an added token's content
  std::array<std::int32_t, 256> byte_ids;  // -1 for bytes that UTF-8 does not have, at most
  std::vector<BytePairMerge> merges;       // in the order of their rank
  bool ignores_merges = false;             // a word that is in the vocabulary is its token, whatever the merges make of it
  std::vector<AddedToken> added;
  std::vector<SplitStage> stages;
  bool has_nfc = false;
  std::int32_t bos = -1;  // that the post-processor puts before a text, or -1
};

// Throws Error{kData} for what is not a whole, consistent file, and Error{kMismatch} naming what in it is not supported:
// nothing that could change an id is passed over. `subject` is the file's name for messages.
TokenizerJson parse_tokenizer_json(std::string_view bytes, const std::string& subject);

}  // namespace uio
