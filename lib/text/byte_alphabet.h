// The byte-level alphabet: every byte written as one printable character, so that a vocabulary is text (GPT-2's encoder).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace uio {

// The bytes that a vocabulary's entry stands for; nothing if it holds a character that is not of the alphabet. Printable
// Latin-1 (33 to 126, 161 to 172, 174 to 255) stands for itself, the other bytes in order are U+0100 and following.
std::optional<std::string> bytes_of_entry(std::string_view entry);

}  // namespace uio
