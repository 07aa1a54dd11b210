// Normalisation is local to a stretch: a character that nothing before it can reach, and those behind it up to the next such.
#include "text/nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <unordered_set>
#include <vector>

#include "text/unicode_ages.h"
#include "text/utf8.h"

namespace uio {
namespace {

constexpr char32_t kFirstMark = 0x300;  // nothing below it is changed or joins what is before it

bool is_new_mark(char32_t c) {
  const auto after = std::upper_bound(std::begin(kNewMarks), std::end(kNewMarks), c,
                                      [](char32_t code, const CharacterRange& range) { return code < range.first; });
  return after != std::begin(kNewMarks) && c <= std::prev(after)->last;
}

int combining_class(char32_t c) { return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class; }

// Appends the canonical decomposition.
void decompose(char32_t c, std::vector<utf8proc_int32_t>& codes) {
  utf8proc_int32_t parts[8];  // Unicode's longest canonical decomposition has four
  int bound_class = 0;
  const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, 8, UTF8PROC_DECOMPOSE, &bound_class);
  codes.insert(codes.end(), parts, parts + std::clamp<utf8proc_ssize_t>(count, 0, 8));
}

bool is_decomposable(char32_t c) {
  std::vector<utf8proc_int32_t> parts;
  decompose(c, parts);
  return parts.size() != 1 || static_cast<char32_t>(parts[0]) != c;
}

// Characters that end a decomposition: those that may join the one before them.
const std::unordered_set<char32_t>& joining_characters() {
  static const std::unordered_set<char32_t> joining = [] {
    std::unordered_set<char32_t> found;
    std::vector<utf8proc_int32_t> parts;
    constexpr char32_t kLastDecomposable = 0x2FFFF, kFirstSyllable = 0xAC00, kLastSyllable = 0xD7A3;
    for (char32_t c = 0xC0; c <= kLastDecomposable; ++c) {
      if (c >= kFirstSyllable && c <= kLastSyllable) continue;
      parts.clear();
      decompose(c, parts);
      if (parts.size() > 1) found.insert(static_cast<char32_t>(parts.back()));
    }
    for (char32_t vowel = 0x1161; vowel <= 0x1175; ++vowel) found.insert(vowel);  // Hangul, which is composed by arithmetic
    for (char32_t tail = 0x11A8; tail <= 0x11C2; ++tail) found.insert(tail);
    return found;
  }();
  return joining;
}

bool begins_stretch(char32_t c) {
  if (c < kFirstMark || is_new_mark(c)) return true;
  const char32_t first = first_of_decomposition(c);
  return combining_class(c) == 0 && combining_class(first) == 0 && !joining_characters().contains(first);
}

void append_utf8(const std::vector<utf8proc_int32_t>& codes, std::string& out) {
  for (const utf8proc_int32_t code : codes) {
    utf8proc_uint8_t bytes[4];
    const auto size = utf8proc_encode_char(code, bytes);
    out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  }
}

// utf8proc sorts marks in quadratic time; so they are sorted here before it composes.
std::string normalize_stretch(std::string_view stretch) {
  std::string out;
  const Character first = character_at(stretch, 0);
  if (is_new_mark(first.code)) {  // stands for itself, and what follows cannot reach it
    out = stretch.substr(0, first.bytes);
    stretch.remove_prefix(first.bytes);
  }
  std::vector<utf8proc_int32_t> codes;
  for (std::size_t at = 0; at < stretch.size();) {
    const Character next = character_at(stretch, at);
    decompose(next.code, codes);
    at += next.bytes;
  }
  for (auto begin = codes.begin(); begin != codes.end();) {
    const auto end = std::find_if(begin, codes.end(), [](auto code) { return combining_class(code) == 0; });
    std::stable_sort(begin, end, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    begin = end == codes.end() ? end : end + 1;
  }
  const auto size = utf8proc_normalize_utf32(codes.data(), static_cast<utf8proc_ssize_t>(codes.size()),
                                             static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  codes.resize(static_cast<std::size_t>(std::max<utf8proc_ssize_t>(size, 0)));
  append_utf8(codes, out);
  return out;
}

}  // namespace

char32_t first_of_decomposition(char32_t c) {
  if (c < 0xC0) return c;
  std::vector<utf8proc_int32_t> parts;
  decompose(c, parts);
  return parts.empty() ? c : static_cast<char32_t>(parts.front());
}

bool stands_in_nfc(char32_t c) {
  if (c < kFirstMark) return true;
  if (is_new_mark(c) || !begins_stretch(c)) return false;
  if (!is_decomposable(c)) return true;
  std::string same;
  append_utf8({static_cast<utf8proc_int32_t>(c)}, same);
  return normalize_stretch(same) == same;
}

std::string to_nfc(std::string_view text, OriginalOffsets& offsets) {
  std::string out;
  out.reserve(text.size());
  const auto take = [&](std::size_t begin, std::size_t end) {
    const std::string_view stretch = text.substr(begin, end - begin);
    const Character first = character_at(stretch, 0);
    if (first.bytes == stretch.size() && (first.code < kFirstMark || !is_decomposable(first.code))) {
      out += stretch;
      return;
    }
    const std::string normal = normalize_stretch(stretch);
    if (normal != stretch) offsets.add(out.size(), normal.size(), begin, stretch.size());
    out += normal;
  };
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Character next = character_at(text, at);
    if (at > begin && begins_stretch(next.code)) {
      take(begin, at);
      begin = at;
    }
    at += next.bytes;
  }
  if (begin < text.size()) take(begin, text.size());
  return out;
}

}  // namespace uio
