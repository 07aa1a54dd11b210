#include "text/documents.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/error.h"
#include "text/json_document.h"

namespace uio {
namespace {

constexpr std::size_t kPieceBytes = 64u << 10;
constexpr std::size_t kMaxJsonLineBytes = 1u << 30;

// The source in pieces of which any beginning can be taken.
class PieceBuffer {
 public:
  explicit PieceBuffer(Source& source) : source_(source), buffer_(kPieceBytes, '\0') {}

  const std::string& name() const { return source_.name(); }
  // Bytes read and not yet taken; empty only at the end of the source.
  std::string_view available() {
    if (begin_ == end_) {
      begin_ = 0;
      end_ = source_.read(std::as_writable_bytes(std::span(buffer_)));
    }
    return std::string_view(buffer_).substr(begin_, end_ - begin_);
  }
  std::string take(std::size_t size) {
    begin_ += size;
    return buffer_.substr(begin_ - size, size);
  }

 private:
  Source& source_;
  std::string buffer_;
  std::size_t begin_ = 0, end_ = 0;
};

class FileReader : public DocumentReader {
 public:
  explicit FileReader(Source& source) : input_(source) {}

  std::optional<std::string> next_document() override {
    if (std::exchange(is_begun_, true)) return std::nullopt;
    return input_.name();
  }
  std::string next_piece() override { return input_.take(input_.available().size()); }

 private:
  PieceBuffer input_;
  bool is_begun_ = false;
};

class LineReader : public DocumentReader {
 public:
  explicit LineReader(Source& source) : input_(source) {}

  std::optional<std::string> next_document() override {
    while (in_line_) next_piece();
    if (input_.available().empty()) return std::nullopt;
    in_line_ = true;
    return input_.name() + ":" + std::to_string(++line_);
  }

  std::string next_piece() override {
    if (!in_line_) return {};
    const std::string_view bytes = input_.available();
    const std::size_t newline = bytes.find('\n');
    if (newline != 0 && !bytes.empty()) return input_.take(std::min(newline, bytes.size()));
    input_.take(bytes.empty() ? 0 : 1);
    in_line_ = false;
    return {};
  }

 private:
  PieceBuffer input_;
  std::uint64_t line_ = 0;
  bool in_line_ = false;
};

class JsonLineReader : public DocumentReader {
 public:
  explicit JsonLineReader(Source& source) : lines_(source) {}

  std::optional<std::string> next_document() override {
    while (const std::optional<std::string> place = lines_.next_document()) {
      const std::string line = read_line(*place);
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      document_ = parse_json_document(line, *place);
      return document_.id;
    }
    return std::nullopt;
  }

  std::string next_piece() override { return std::exchange(document_.text, {}); }
  std::optional<Weighting> weighting() const override { return document_.weighting; }

 private:
  std::string read_line(const std::string& place) {
    std::string line;
    for (std::string piece = lines_.next_piece(); !piece.empty(); piece = lines_.next_piece()) {
      if (line.size() + piece.size() > kMaxJsonLineBytes)
        throw Error(ErrorKind::kData, "line too long", place, "more than 1 GiB");
      line += piece;
    }
    return line;
  }

  LineReader lines_;
  JsonDocument document_;
};

}  // namespace

std::unique_ptr<DocumentReader> read_documents(Source& source, DocumentOptions options) {
  switch (options.unit) {
    case DocumentUnit::kLine:
      return std::make_unique<LineReader>(source);
    case DocumentUnit::kJsonLine:
      return std::make_unique<JsonLineReader>(source);
    case DocumentUnit::kFile:
      break;
  }
  return std::make_unique<FileReader>(source);
}

}  // namespace uio
