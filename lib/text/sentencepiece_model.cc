// The protobuf wire format of sentencepiece_model.proto, and the laws that a usable model obeys.
#include "text/sentencepiece_model.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <unordered_set>

#include "base/error.h"
#include "base/quote.h"
#include "text/utf8.h"

namespace uio {
namespace {

constexpr std::size_t kMaxPieceBytes = 4096;   // the library's recursions and matchers are as deep as a piece is long
constexpr std::size_t kMaxPieces = 1u << 22;   // real vocabularies: up to 256 thousand
constexpr std::size_t kMaxNestedSymbols = 60;  // the library's prefix matcher has room for 64 results

struct Damage {
  std::string reason;
};

struct Field {
  std::uint64_t number;
  unsigned wire;           // 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes
  std::uint64_t value;     // of wire 0
  std::string_view bytes;  // of wire 1, 2 and 5
  std::string_view raw;    // the field as it lies in the file
};

// Reads the fields of one message.
class WireReader {
 public:
  explicit WireReader(std::string_view message) : rest_(message) {}
  bool has_next() const { return !rest_.empty(); }

  Field next() {
    const std::string_view begin = rest_;
    Field field{};
    const std::uint64_t key = varint();
    field.number = key >> 3;
    field.wire = key & 7;
    if (field.number == 0 || field.number >= 1u << 29) throw Damage{"a field number out of range"};
    switch (field.wire) {
      case 0:
        field.value = varint();
        break;
      case 1:
        field.bytes = take(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        field.bytes = take(4);
        break;
      default:
        throw Damage{"a field of wire type " + std::to_string(field.wire)};
    }
    field.raw = begin.substr(0, begin.size() - rest_.size());
    return field;
  }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      if (rest_.empty()) throw Damage{"it ends inside a field"};
      const unsigned char byte = rest_.front();
      rest_.remove_prefix(1);
      if (shift == 63 && byte > 1) throw Damage{"a number of more than 64 bits"};
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    throw Damage{"a number of more than 64 bits"};
  }

  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) throw Damage{"it ends inside a field"};
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }

  std::string_view rest_;
};

void require_wire(const Field& field, unsigned wire, const char* name) {
  if (field.wire != wire) throw Damage{std::string(name) + " of wire type " + std::to_string(field.wire)};
}

bool read_bool(const Field& field, const char* name) {
  require_wire(field, 0, name);
  return field.value != 0;
}

Piece read_piece(std::string_view message) {
  Piece piece;
  for (WireReader reader(message); reader.has_next();) {
    const Field field = reader.next();
    if (field.number == 1) {
      require_wire(field, 2, "a piece's text");
      piece.text = field.bytes;
    } else if (field.number == 2) {
      require_wire(field, 5, "a piece's score");
      std::memcpy(&piece.score, field.bytes.data(), 4);
    } else if (field.number == 3) {
      require_wire(field, 0, "a piece's type");
      if (field.value < 1 || field.value > 6) throw Damage{"a piece of type " + std::to_string(field.value)};
      piece.type = static_cast<PieceType>(field.value);
    }
  }
  return piece;
}

void read_trainer_spec(std::string_view message, SentencePieceModel& model) {
  for (WireReader reader(message); reader.has_next();) {
    const Field field = reader.next();
    if (field.number == 3) {
      require_wire(field, 0, "model_type");
      if (field.value < 1 || field.value > 4) throw Damage{"a model_type " + std::to_string(field.value)};
      model.algorithm = static_cast<PieceAlgorithm>(field.value);
    } else if (field.number == 24) {
      model.treat_whitespace_as_suffix = read_bool(field, "treat_whitespace_as_suffix");
    } else if (field.number == 35) {
      model.byte_fallback = read_bool(field, "byte_fallback");
    } else if (field.number == 44) {
      require_wire(field, 2, "unk_surface");
      model.unknown_surface = field.bytes;
    }
  }
}

void read_normalizer_spec(std::string_view message, SentencePieceModel& model) {
  for (WireReader reader(message); reader.has_next();) {
    const Field field = reader.next();
    if (field.number == 2) {
      require_wire(field, 2, "precompiled_charsmap");
      model.charsmap = field.bytes;
    } else if (field.number == 3) {
      model.add_dummy_prefix = read_bool(field, "add_dummy_prefix");
    } else if (field.number == 4) {
      model.remove_extra_whitespaces = read_bool(field, "remove_extra_whitespaces");
    }
  }
}

// <0x00> to <0xFF>.
bool is_byte_name(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return text.size() == 6 && text.starts_with("<0x") && text.ends_with('>') && kDigits.find(text[3]) != kDigits.npos &&
         kDigits.find(text[4]) != kDigits.npos;
}

void check_pieces(const SentencePieceModel& model, const std::string& subject) {
  if (model.pieces.empty()) throw Damage{"it has no pieces"};
  if (model.pieces.size() > kMaxPieces) throw Damage{"more than " + std::to_string(kMaxPieces) + " pieces"};
  std::unordered_set<std::string_view> texts, symbols;
  std::size_t unknowns = 0, bytes = 0;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const Piece& piece = model.pieces[id];
    const auto name = [&] { return "piece " + std::to_string(id) + " " + quote(piece.text); };
    if (piece.text.empty()) throw Damage{"piece " + std::to_string(id) + " is empty"};
    if (piece.text.size() > kMaxPieceBytes)
      throw Damage{name() + " is longer than " + std::to_string(kMaxPieceBytes) + " bytes"};
    if (piece.text.find('\0') != std::string::npos || find_invalid_utf8(piece.text) != std::string_view::npos) {
      throw Damage{name() + " is not text"};
    }
    if (!std::isfinite(piece.score)) throw Damage{name() + " has no finite score"};
    if (!texts.insert(piece.text).second) throw Damage{name() + " occurs twice"};
    if (piece.type == PieceType::kUnknown) ++unknowns;
    if (piece.type == PieceType::kByte && !is_byte_name(piece.text)) throw Damage{"byte " + name() + " names no byte"};
    if (piece.type == PieceType::kByte) ++bytes;
    if (piece.type == PieceType::kUserDefined) symbols.insert(piece.text);
    // The library looks a character up among the control pieces first: text would turn into a control token.
    if (piece.type == PieceType::kControl && character_at(piece.text, 0).bytes == piece.text.size()) {
      throw Error(ErrorKind::kMismatch, "unsupported tokenizer", subject, "control " + name() + " is a character of text");
    }
  }
  if (unknowns != 1) throw Damage{std::to_string(unknowns) + " unknown pieces instead of 1"};
  if (model.byte_fallback != (bytes > 0)) throw Damage{"byte_fallback and byte pieces disagree"};
  if (model.byte_fallback && bytes != 256) throw Damage{std::to_string(bytes) + " byte pieces instead of 256"};
  for (const std::string_view symbol : symbols) {
    std::size_t nested = 0;
    for (std::size_t size = 1; size <= symbol.size(); ++size) nested += symbols.contains(symbol.substr(0, size));
    if (nested > kMaxNestedSymbols) throw Damage{"user-defined symbols begin each other more than 60 times over"};
  }
}

void check_supported(const SentencePieceModel& model, const std::string& subject) {
  const auto refuse = [&](const char* what) {
    throw Error(ErrorKind::kMismatch, "unsupported tokenizer", subject, std::string(what) + " is not supported");
  };
  if (model.algorithm == PieceAlgorithm::kWord) refuse("model_type word");
  if (model.treat_whitespace_as_suffix) refuse("treat_whitespace_as_suffix");
}

}  // namespace

std::string prefix_override(bool add_dummy_prefix) {
  // ModelProto.normalizer_spec (field 3, two bytes) { add_dummy_prefix (field 3, varint) }
  return std::string("\x1A\x02\x18", 3) + (add_dummy_prefix ? '\x01' : '\x00');
}

bool is_tiktoken_list(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, bytes.find('\n'));
  const std::size_t space = line.find(' ');
  constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
  return space != std::string_view::npos && space >= 4 && space % 4 == 0 && space + 1 < line.size() &&
         line.substr(0, space).find_first_not_of(kBase64) == std::string_view::npos &&
         line.substr(space + 1).find_first_not_of("0123456789\r") == std::string_view::npos;
}

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& subject) {
  if (is_tiktoken_list(bytes)) {
    throw Error(ErrorKind::kMismatch, "unsupported tokenizer", subject, "a tiktoken list (Llama 3) is not supported without its tokenizer.json");
  }
  SentencePieceModel model;
  try {
    if (bytes.empty()) throw Damage{"it is empty"};
    bool has_trainer = false, has_normalizer = false;  // a file cut between its parts lacks the later ones
    for (WireReader reader(bytes); reader.has_next();) {
      const Field field = reader.next();
      has_trainer |= field.number == 2;
      has_normalizer |= field.number == 3;
      if (field.number <= 5) require_wire(field, 2, "a part of the model");
      if (field.number == 1) model.pieces.push_back(read_piece(field.bytes));
      if (field.number == 2) read_trainer_spec(field.bytes, model);
      if (field.number == 3) read_normalizer_spec(field.bytes, model);
      if (field.number != 4) model.serialized += field.raw;
    }
    if (!has_trainer) throw Damage{"it has no trainer_spec"};
    if (!has_normalizer) throw Damage{"it has no normalizer_spec"};
    check_pieces(model, subject);
  } catch (const Damage& damage) {
    throw Error(ErrorKind::kData, "not a usable SentencePiece model", subject, damage.reason);
  }
  check_supported(model, subject);
  return model;
}

}  // namespace uio
