// Unicode's normal form C, as the `tokenizers` package computes it (see unicode_ages.h), with the way back.
#pragma once

#include <string>
#include <string_view>

#include "text/original_offsets.h"

namespace uio {

// The text in NFC; every stretch that changed is added to `offsets`. `text` is valid UTF-8. Time n log n at worst.
std::string to_nfc(std::string_view text, OriginalOffsets& offsets);

// True if NFC never changes the character nor moves it, or joins it with one before it; one that follows may join it.
bool stands_in_nfc(char32_t c);

// The first character of the canonical decomposition; the character itself where it has none.
char32_t first_of_decomposition(char32_t c);

}  // namespace uio
