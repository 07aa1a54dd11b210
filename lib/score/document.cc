#include "score/document.h"

#include <algorithm>

#include "base/error.h"

namespace uio {

std::vector<std::uint64_t> ScoredDocument::token_ends(const Tokenizer& tokenizer) const {
  std::vector<std::uint64_t> ends;
  std::size_t at = 0;
  if (tokenizer.bos() >= 0 && !ids.empty() && ids[0] == tokenizer.bos()) {
    ends.push_back(0);
    at = 1;
  }
  // The token after a response ends where the text does; no text becomes it.
  const bool has_end = at < ids.size() && tokenizer.eos() >= 0 && ids.back() == tokenizer.eos();
  const std::vector<Token> again = tokenizer.encode(text);
  bool is_same = again.size() + at + has_end == ids.size();
  for (std::size_t i = 0; is_same && i < again.size(); ++i) is_same = again[i].id == ids[at + i];
  std::uint64_t end = 0;
  for (std::size_t i = at; i + has_end < ids.size(); ++i) {
    end = is_same ? again[i - at].byte_end : std::min<std::uint64_t>(text.size(), end + tokenizer.bytes_of(ids[i]).size());
    ends.push_back(end);
  }
  if (!ends.empty()) ends.back() = text.size();
  if (has_end) ends.push_back(text.size());
  return ends;
}

DocumentOptions document_options(const ScoreJob& job) {
  DocumentOptions options;
  options.accept_empty = true;
  options.unit = job.jsonl ? DocumentUnit::kJsonLine : job.lines ? DocumentUnit::kLine : DocumentUnit::kFile;
  options.replace_invalid = job.replace_invalid;
  return options;
}

std::optional<ScoredDocument> DocumentGatherer::next() {
  ScoredDocument document;
  for (bool is_first = true;; is_first = false) {
    auto record = source_.next();
    if (!record) {
      if (is_first) return std::nullopt;
      throw Error(ErrorKind::kData, "document without an end", document.id, "its last segment is missing");
    }
    if (!std::holds_alternative<Segment>(*record))
      throw Error(ErrorKind::kMismatch, "nothing to score", source_.input(), "it holds memories; score the text or its segments");
    auto& segment = std::get<Segment>(*record);
    if (segment.is_closed && !takes_closed_)
      throw Error(ErrorKind::kMismatch, "segment closed by its content", segment.span.document, "contexts are made of segments of one length",
                  "score the text itself, or segments with --boundaries fixed");
    if (is_first) document.id = segment.span.document;
    if (segment.span.document != document.id || segment.span.first_token != document.ids.size())
      throw Error(ErrorKind::kData, "segments out of order", segment.span.document, "segment " + std::to_string(segment.span.segment) +
                  " begins at token " + std::to_string(segment.span.first_token) + ", expected " + std::to_string(document.ids.size()));
    document.ids.insert(document.ids.end(), segment.tokens.begin(), segment.tokens.end());
    document.text += segment.text;
    if (segment.span.is_last) return document;
  }
}

}  // namespace uio
