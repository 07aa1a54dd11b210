// One document out of one JSON line: its id, its text, and the weights of its parts where the line gives them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/weighting.h"

namespace uio {

struct JsonDocument {
  std::string id;  // the line's "id", a string or an integer; without one, the line's place
  std::string text;
  std::optional<Weighting> weighting;  // nothing: each token counts 1
};

// `line` is an object in one of three forms:
//   {"text"}                            a text without weights
//   {"prompt", "response"}              their concatenation; the prompt has weight 0, the response and the end of sequence 1
//   {"parts": [{"text", "weight"}, …]}  the concatenation of the parts; a weight is an integer from 0 to 255, 1 if not given
// Further keys are ignored. Throws Error{kData} with `place` naming the key that is missing, of another type or of another
// form.
JsonDocument parse_json_document(std::string_view line, const std::string& place);

}  // namespace uio
