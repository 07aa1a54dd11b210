#include "text/split_rule.h"

#include "text/charsmap.h"
#include "text/utf8.h"

namespace uio {
namespace {

constexpr char32_t kSpaceSymbol = 0x2581;

char32_t as_in_pieces(char32_t c) { return c == ' ' ? kSpaceSymbol : c; }

std::uint64_t pair_of(char32_t a, char32_t b) {
  return static_cast<std::uint64_t>(as_in_pieces(a)) << 32 | static_cast<std::uint64_t>(as_in_pieces(b));
}

// Calls visit(a, b) for neighbouring characters of `text`.
template <typename Visit>
void for_each_pair(std::string_view text, const Visit& visit) {
  Character last{0, 0};
  for (std::size_t at = 0; at < text.size(); at += last.bytes) {
    const Character next = character_at(text, at);
    if (at > 0) visit(last.code, next.code);
    last = next;
  }
}

char32_t last_character(std::string_view text) {
  std::size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return character_at(text, at).code;
}

}  // namespace

SplitRule::SplitRule(const SentencePieceModel& model, const std::string& subject)
    : removes_spaces_(model.remove_extra_whitespaces), merges_unknown_(!model.byte_fallback) {
  pairs_.reserve(model.pieces.size() * 3);
  for (const Piece& piece : model.pieces) {
    if (!piece.is_textual()) continue;
    for_each_pair(piece.text, [&](char32_t a, char32_t b) { pairs_.insert(pair_of(a, b)); });
    const Character first = character_at(piece.text, 0);
    const bool is_character = first.bytes == piece.text.size();
    if (is_character && piece.type != PieceType::kUnused) known_.insert(as_in_pieces(first.code));
    // BPE takes an unused piece apart again the way it was last put together anywhere in the text: nothing is local then.
    if (!is_character && piece.type == PieceType::kUnused && model.algorithm == PieceAlgorithm::kBpe) never_ = true;
  }
  if (!model.charsmap.empty()) {
    visit_charsmap(model.charsmap, subject, [&](auto key, auto replacement) { add_rule(key, replacement); });
  }
  for (char32_t a = 0; a < kAscii; ++a) {
    for (char32_t b = 0; b < kAscii; ++b) ascii_[a * kAscii + b] = compute(a, b);
  }
}

void SplitRule::add_rule(std::string_view key, std::string_view replacement) {
  if (key == replacement) return;
  for_each_pair(key, [&](char32_t a, char32_t b) { pairs_.insert(pair_of(a, b)); });
  begins_.insert(character_at(key, 0).code);
  ends_.insert(last_character(key));
}

std::uint8_t SplitRule::compute(char32_t a, char32_t b) const {
  if (never_ || pairs_.contains(pair_of(a, b)) || ends_.contains(a) || begins_.contains(b)) return 0;
  if (removes_spaces_ && as_in_pieces(a) == kSpaceSymbol) return 0;
  const bool is_known = known_.contains(as_in_pieces(a)) || known_.contains(as_in_pieces(b));
  return merges_unknown_ && !is_known ? kMayPart : kMayPart | kIsExact;
}

}  // namespace uio
