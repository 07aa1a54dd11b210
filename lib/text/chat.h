// Prompts as token ids: plain, or as one turn of a chat with the role markers of a family of models.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/jobs.h"
#include "text/tokenizer.h"

namespace uio {

// The names of the families, joined by `|`.
const char* chat_families();

// The ids of `prompt`, with BOS first where it begins a document (`is_start`). With `rules.chat`, what the user says in a turn that the
// model is to answer, markers included. Markers are the tokenizer's special tokens, found by their names; what prompt and system say stays
// text whatever it looks like, unless `rules.parse_special`.
// Throws Error{kMismatch} naming a marker that the tokenizer lacks, Error{kUsage} for a family that is not known.
std::vector<std::int32_t> encode_prompt(const Tokenizer& tokenizer, const std::string& prompt, const Prompting& rules, bool is_start);

// The token that ends an answer in such a chat, or -1 without one.
std::int32_t end_of_turn(const Tokenizer& tokenizer, const Prompting& rules);

}  // namespace uio
