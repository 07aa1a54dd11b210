// Patterns that part text into words, from the dialect of tokenizer.json (Oniguruma's, Ruby syntax) to PCRE2's.
#pragma once

#include <string>
#include <string_view>

namespace uio {

// The pattern for PCRE2 (UTF and UCP on) that matches exactly what Oniguruma, with the Unicode of the `tokenizers` package,
// matches. Patterns are alternations of characters, classes, groups, quantifiers and lookaheads; whatever the two engines may
// take differently is refused: Error{kMismatch} naming it. Error{kData} where it is no pattern at all.
std::string translate_pattern(std::string_view pattern, const std::string& subject);

// A class of general category `name` ("L", "Lu"), in PCRE2's syntax, to be put between brackets. Empty if unknown.
std::string category_items(std::string_view name);
// White space, the same way.
std::string space_items();

}  // namespace uio
