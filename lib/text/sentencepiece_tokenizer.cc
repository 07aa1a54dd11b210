// A text is parted wherever parting cannot change its tokens (split_rule.h), mostly into words; the library encodes each unit
// and a cache remembers the common ones. That makes whole == chunks by construction, keeps BPE's n log n small, and is about
// twenty times as fast as handing the library the whole text.
#include "text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "text/added_tokens.h"
#include "text/sentencepiece_model.h"
#include "text/split_rule.h"
#include "text/unit_cache.h"
#include "text/utf8.h"

namespace uio {
namespace {

constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";  // U+2581

using Processor = sentencepiece::SentencePieceProcessor;

std::unique_ptr<Processor> load_processor(const SentencePieceModel& model, bool has_prefix, const std::string& subject) {
  auto processor = std::make_unique<Processor>();
  std::string reason;
  try {
    const auto status = processor->LoadFromSerializedProto(model.serialized + prefix_override(has_prefix));
    if (!status.ok()) reason = status.ToString();
  } catch (const std::exception& error) {  // the library's double-array builder throws
    reason = error.what();
  }
  if (!reason.empty()) throw Error(ErrorKind::kData, "not a usable SentencePiece model", subject, reason);
  return processor;
}

std::string bytes_of_piece(const Piece& piece, const std::string& unknown_surface) {
  switch (piece.type) {
    case PieceType::kControl:
      return {};
    case PieceType::kUnknown:
      return unknown_surface;
    case PieceType::kByte:
      return {static_cast<char>(std::stoi(piece.text.substr(3, 2), nullptr, 16))};
    default:
      break;
  }
  std::string bytes;
  for (std::size_t at = 0; at < piece.text.size();) {
    const bool is_space = piece.text.compare(at, kSpaceSymbol.size(), kSpaceSymbol) == 0;
    bytes += is_space ? ' ' : piece.text[at];
    at += is_space ? kSpaceSymbol.size() : 1;
  }
  return bytes;
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string_view file, const SentencePieceRules& rules, const std::string& subject)
      : SentencePieceTokenizer(parse_sentencepiece_model(file, subject), file, rules, subject) {}

  const std::string& fingerprint() const override { return fingerprint_; }
  std::int32_t vocabulary_size() const override { return static_cast<std::int32_t>(bytes_.size()); }
  std::int32_t bos() const override { return bos_; }
  std::int32_t eos() const override { return eos_; }
  bool has_prefix_space() const override { return has_prefix_; }
  std::vector<Token> encode(std::string_view text, bool is_start) const override;
  std::size_t safe_cut(std::string_view text) const override;
  std::string bytes_of(std::int32_t id) const override;
  const AddedTokens& special_tokens() const override { return special_; }

 private:
  SentencePieceTokenizer(const SentencePieceModel& model, std::string_view file, const SentencePieceRules& rules,
                         const std::string& subject);

  std::vector<Token> encode_unit(std::string_view unit, bool is_start) const;
  void append(std::span<const Token> unit, std::uint64_t offset, std::vector<Token>& tokens) const;

  std::string fingerprint_;
  std::vector<std::string> bytes_;  // per id
  std::vector<bool> is_byte_;       // per id
  AddedTokens special_;             // the control pieces
  std::int32_t bos_ = -1, eos_ = -1, unknown_ = -1;
  bool has_prefix_ = true, removes_spaces_ = false, merges_unknown_ = false;
  SplitRule split_;
  std::unique_ptr<Processor> plain_, prefixed_;  // without and with the space before the text
  mutable std::mutex mutex_;
  mutable UnitCache cache_;  // guarded by mutex_
};

bool has_prefix_by(const SentencePieceRules& rules, const SentencePieceModel& model) {
  if (rules.prefix == SentencePieceRules::Prefix::kModel) return model.add_dummy_prefix;
  return rules.prefix == SentencePieceRules::Prefix::kYes;
}

SentencePieceTokenizer::SentencePieceTokenizer(const SentencePieceModel& model, std::string_view file,
                                               const SentencePieceRules& rules, const std::string& subject)
    : has_prefix_(has_prefix_by(rules, model)),
      removes_spaces_(model.remove_extra_whitespaces),
      merges_unknown_(!model.byte_fallback),
      split_(model, subject),
      plain_(load_processor(model, false, subject)),
      prefixed_(load_processor(model, true, subject)) {
  if (!rules.is_legacy && model.remove_extra_whitespaces) {
    throw Error(ErrorKind::kMismatch, "unsupported tokenizer", subject,
                "legacy false with remove_extra_whitespaces is not supported");
  }
  for (const Piece& piece : model.pieces) {
    bytes_.push_back(bytes_of_piece(piece, model.unknown_surface));
    is_byte_.push_back(piece.type == PieceType::kByte);
    if (piece.type == PieceType::kControl && !piece.text.empty()) special_.add(piece.text, static_cast<std::int32_t>(bytes_.size()) - 1);
  }
  unknown_ = plain_->unk_id();
  eos_ = plain_->eos_id();
  const std::int32_t bos = plain_->bos_id();
  if (bos >= 0 && rules.add_bos) {
    const std::string& piece = plain_->IdToPiece(bos);
    if (!rules.bos_piece.empty() && rules.bos_piece != piece) {
      throw Error(ErrorKind::kMismatch, "unsupported tokenizer", subject,
                  "the configuration's bos_token is " + rules.bos_piece + ", the model's is " + piece);
    }
    bos_ = bos;
  }
  Hasher hasher;
  hasher.add_field("uio-tokenizer 1: sentencepiece");
  hasher.add_field(file);
  hasher.add_field("bos " + std::to_string(bos_) + (has_prefix_ ? ", prefix space" : ", no prefix space"));
  fingerprint_ = hasher.hex();
}

std::vector<Token> SentencePieceTokenizer::encode_unit(std::string_view unit, bool is_start) const {
  // Where extra spaces are removed, the library would drop the space that a unit begins with; the dummy prefix puts it back.
  const bool has_prefix = is_start ? has_prefix_ : removes_spaces_ && unit.front() == ' ';
  sentencepiece::ImmutableSentencePieceText pieces;
  const auto status =
      (has_prefix ? prefixed_ : plain_)->Encode(absl::string_view(unit.data(), unit.size()), pieces.mutable_proto());
  if (!status.ok()) throw Error(ErrorKind::kInternal, "SentencePiece failed", "", status.ToString());

  std::vector<Token> tokens;
  const std::size_t count = pieces.pieces_size();
  tokens.reserve(count);
  std::size_t run = 0;  // byte pieces since the last piece with a surface
  for (std::size_t i = 0; i < count; ++i) {
    const auto piece = pieces.pieces(static_cast<int>(i));
    tokens.push_back({static_cast<std::int32_t>(piece.id()), piece.end()});
    run = is_byte_[piece.id()] ? run + 1 : 0;
    if (run == 0 || piece.end() == piece.begin()) continue;
    // The last piece of a byte-fallback run carries the surface. Where the run spells the surface's own bytes, each gets its
    // own.
    const std::string_view surface = unit.substr(piece.begin(), piece.end() - piece.begin());
    bool is_spelled = surface.size() <= run;
    for (std::size_t k = 0; is_spelled && k < surface.size(); ++k) {
      is_spelled = bytes_[tokens[tokens.size() - surface.size() + k].id][0] == surface[k];
    }
    for (std::size_t k = 0; is_spelled && k < surface.size(); ++k) {
      tokens[tokens.size() - surface.size() + k].byte_end = piece.begin() + k + 1;
    }
    run = 0;
  }
  return tokens;
}

void SentencePieceTokenizer::append(std::span<const Token> unit, std::uint64_t offset, std::vector<Token>& tokens) const {
  // Without byte fallback the library merges neighbouring unknown characters into one token; so do we over units' ends.
  if (merges_unknown_ && !unit.empty() && !tokens.empty() && unit.front().id == unknown_ && tokens.back().id == unknown_) {
    tokens.back().byte_end = offset + unit.front().byte_end;
    unit = unit.subspan(1);
  }
  for (const Token& token : unit) tokens.push_back({token.id, offset + token.byte_end});
}

std::vector<Token> SentencePieceTokenizer::encode(std::string_view text, bool is_start) const {
  std::vector<Token> tokens;
  if (text.empty()) return tokens;
  tokens.reserve(text.size() / 3);
  // Threads that meet do not wait for each other: the second works with a cache of its own.
  UnitCache own;
  std::unique_lock lock(mutex_, std::try_to_lock);
  UnitCache& cache = lock.owns_lock() ? cache_ : own;

  const auto encode_range = [&](std::size_t begin, std::size_t end) {
    const std::string_view unit = text.substr(begin, end - begin);
    if (is_start && begin == 0) {
      append(encode_unit(unit, true), begin, tokens);
    } else {
      append(cache.find_or_make(unit, [&] { return encode_unit(unit, false); }), begin, tokens);
    }
  };

  std::size_t begin = 0;
  Character last = character_at(text, 0);
  for (std::size_t at = last.bytes; at < text.size();) {
    const Character next = character_at(text, at);
    if (split_.may_part(last.code, next.code)) {
      encode_range(begin, at);
      begin = at;
    }
    last = next;
    at += next.bytes;
  }
  encode_range(begin, text.size());
  // What normalisation removed at the end belongs to the last token, so that the spans tile the text.
  if (!tokens.empty()) tokens.back().byte_end = text.size();
  return tokens;
}

std::size_t SentencePieceTokenizer::safe_cut(std::string_view text) const {
  return last_place_between(text, [this](char32_t a, char32_t b) { return split_.is_exact(a, b); });
}

std::string SentencePieceTokenizer::bytes_of(std::int32_t id) const {
  if (id < 0 || id >= vocabulary_size()) {
    throw Error(ErrorKind::kMismatch, "token outside the vocabulary", std::to_string(id),
                "the tokenizer has " + std::to_string(vocabulary_size()) + " pieces");
  }
  return bytes_[id];
}

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string_view model, const SentencePieceRules& rules,
                                                        const std::string& subject) {
  return std::make_unique<SentencePieceTokenizer>(model, rules, subject);
}

}  // namespace uio
