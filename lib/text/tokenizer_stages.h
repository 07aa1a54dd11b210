// The parts of a tokenizer.json around its model: what happens to text before, and what is put around the ids.
#pragma once

#include "text/json_section.h"
#include "text/tokenizer_json.h"

namespace uio {

// Each reads one value of the file's top level into `out` and throws as parse_tokenizer_json does.
void read_normalizer(const JsonSection& file, TokenizerJson& out);
void read_pretokenizer(const JsonSection& file, TokenizerJson& out);
void read_decoder(const JsonSection& file);
// Needs the added tokens: the token that begins a text is one of them.
void read_post_processor(const JsonSection& file, TokenizerJson& out);

}  // namespace uio
