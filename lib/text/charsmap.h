// SentencePiece's compiled normalisation rules: checked, so that the library can follow them safely, and listed.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace uio {

// Called with each rule: `key` is replaced by `replacement` (longest key first, from left to right).
using CharsmapVisitor = std::function<void(std::string_view key, std::string_view replacement)>;

// Checks a `precompiled_charsmap` (u32 size of a Darts double array, the array, NUL-ended replacements) and visits its rules.
// Throws Error{kData} if following it could leave its bounds, or if a rule is not UTF-8 or is too long.
void visit_charsmap(std::string_view charsmap, const std::string& subject, const CharsmapVisitor& visit);

}  // namespace uio
