// One character of UTF-8 at a time: what quoting and the stream formats need of it (lib/text/utf8.h has the rest).
#pragma once

#include <cstddef>
#include <string_view>

namespace uio {

// Length in bytes (1 to 4) of the well-formed UTF-8 sequence that begins at `text[at]`, or 0 if none does: overlong forms,
// surrogates, code points beyond U+10FFFF and cut sequences are not well-formed.
std::size_t utf8_sequence_length(std::string_view text, std::size_t at);

bool is_utf8(std::string_view text);

}  // namespace uio
