// What a SentencePiece model file says, read strictly. The library itself is handed a file only after it passed here, because
// on damaged or hostile files it may read out of bounds, recurse without end or abort.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace uio {

enum class PieceType { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct Piece {
  std::string text;
  float score = 0;
  PieceType type = PieceType::kNormal;
  // True if text can become this piece: the kinds that the library looks up by their text.
  bool is_textual() const {
    return type == PieceType::kNormal || type == PieceType::kUserDefined || type == PieceType::kUnused;
  }
};

enum class PieceAlgorithm { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

struct SentencePieceModel {
  std::vector<Piece> pieces;
  PieceAlgorithm algorithm = PieceAlgorithm::kUnigram;
  bool byte_fallback = false;
  bool treat_whitespace_as_suffix = false;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  std::string charsmap;                            // normalisation rules (charsmap.h); empty: identity
  std::string unknown_surface = " \xE2\x81\x87 ";  // what an unknown piece decodes to
  // The file without its self-test samples, which hold for its own normaliser flags only: append a fragment from
  // prefix_override() and hand it to the library.
  std::string serialized;
};

// A fragment of a model file that sets add_dummy_prefix: two concatenated protobuf messages are merged, the last value wins.
std::string prefix_override(bool add_dummy_prefix);

// True for Llama 3's original file, which has the same name: lines of base64, a space and a rank.
bool is_tiktoken_list(std::string_view bytes);

// Throws Error{kData} for what is not a whole, consistent model file, and Error{kMismatch} naming what is one but is not
// supported (a tiktoken list, word models, whitespace as suffix). `subject` is the file's name for messages.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& subject);

}  // namespace uio
