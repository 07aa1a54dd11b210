// Documents out of text: one per file, per line, or per JSON line; in pieces of bounded size.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "io/file.h"
#include "text/weighting.h"

namespace uio {

enum class DocumentUnit { kFile, kLine, kJsonLine };

struct DocumentOptions {
  DocumentUnit unit = DocumentUnit::kFile;
  bool accept_empty = false;     // an input without any byte is an empty document, not a pipe whose writer failed
  bool replace_invalid = false;  // invalid UTF-8 becomes U+FFFD instead of an error
};

// Walks the documents of one input.
class DocumentReader {
 public:
  virtual ~DocumentReader() = default;
  // Goes to the next document, over what is left of the current one; nothing after the last. Its id: the file's name as given,
  // `name:LINE` (from 1) for lines, the "id" of a JSON line (a string or an integer; without one, `name:LINE`).
  virtual std::optional<std::string> next_document() = 0;
  // The next piece of the current document's bytes, as they were; empty at its end. The pieces are of at most 64 KiB for
  // files and lines; a JSON line's text is one piece.
  // Bytes are handed on as they are, a byte order mark included; validity is the segmenter's business.
  virtual std::string next_piece() = 0;
  // How the current document's tokens count in training; nothing where each counts 1.
  virtual std::optional<Weighting> weighting() const { return std::nullopt; }
};

// kFile: the whole source is one document, also when it is empty.
// kLine: `\n` ends a line and belongs to no document; a `\r` before it stays in the text; an empty line is an empty document;
// a last line without `\n` counts; an empty source has no line.
// kJsonLine: blank lines (spaces, tabs, `\r`) are passed over. Throws Error{kData} naming the line for one that is not an
// object in one of the forms of json_document.h, or that is longer than 1 GiB.
// `source` must outlive the reader.
std::unique_ptr<DocumentReader> read_documents(Source& source, DocumentOptions options);

}  // namespace uio
