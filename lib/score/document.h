// Documents whole, out of the segments that streams and texts come in. Torch-free.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/jobs.h"
#include "text/segment_source.h"
#include "text/tokenizer.h"

namespace uio {

// Every token counts here, whatever its weight in training.
struct ScoredDocument {
  std::string id;
  std::vector<std::int32_t> ids;
  std::string text;

  // Byte at which each token ends. Exact where the tokenizer gives the same ids for the text again, else summed over the tokens.
  std::vector<std::uint64_t> token_ends(const Tokenizer& tokenizer) const;
};

// What a document of a text is.
DocumentOptions document_options(const ScoreJob& job);

// Gathers the segments of one document after the other. Throws Error{kData} for segments out of order,
// Error{kMismatch} for memories, and for segments closed by their content unless they are to be taken.
class DocumentGatherer {
 public:
  explicit DocumentGatherer(RecordSource& source, bool takes_closed = false) : source_(source), takes_closed_(takes_closed) {}
  std::optional<ScoredDocument> next();

 private:
  RecordSource& source_;
  bool takes_closed_;
};

}  // namespace uio
