#include "text/segment_source.h"

#include <deque>
#include <utility>

#include "base/error.h"
#include "io/file.h"
#include "io/frame.h"
#include "io/stream.h"
#include "text/segmenter.h"

namespace uio {
namespace {

constexpr std::size_t kMarkBytes = 16;  // what looks_like_stream needs

// Texts one segment at a time: pieces are pushed into the segmenter until it has emitted something.
class TextRecords {
 public:
  TextRecords(Source& source, const Tokenizer& tokenizer, Cutting cutting, DocumentOptions options)
      : reader_(read_documents(source, options)), tokenizer_(tokenizer), cutting_(cutting), options_(options) {}

  std::optional<Record> next() {
    const EmitSegment keep = [this](Segment segment) { ready_.push_back(std::move(segment)); };
    while (ready_.empty()) {
      if (!segmenter_) {
        const std::optional<std::string> document = reader_->next_document();
        if (!document) return std::nullopt;
        segmenter_.emplace(tokenizer_, cutting_, options_.replace_invalid, *document, reader_->weighting());
      }
      const std::string piece = reader_->next_piece();
      if (!piece.empty()) {
        segmenter_->add(piece, keep);
      } else {
        segmenter_->finish(keep);
        segmenter_.reset();
      }
    }
    Record record = std::move(ready_.front());
    ready_.pop_front();
    return record;
  }

 private:
  std::unique_ptr<DocumentReader> reader_;
  const Tokenizer& tokenizer_;
  Cutting cutting_;
  DocumentOptions options_;
  std::optional<DocumentSegmenter> segmenter_;
  std::deque<Segment> ready_;
};

}  // namespace

struct RecordSource::State {
  std::vector<std::string> inputs;
  const Tokenizer& tokenizer;
  Cutting cutting;
  DocumentOptions options;
  Host* host;

  std::size_t next_input = 0;
  bool has_success = false;
  std::string name;
  std::unique_ptr<PeekSource> source;
  std::unique_ptr<RecordReader> reader;  // one of the two is set while an input is open
  std::unique_ptr<TextRecords> text;
  Provenance no_provenance;

  // Opens the next input that can be opened; false after the last.
  bool open_next() {
    while (next_input < inputs.size()) {
      name = inputs[next_input++];
      try {
        source = std::make_unique<PeekSource>(open_source(name));
        open(source->peek(kMarkBytes));
        return true;
      } catch (const Error& error) {
        const bool is_hopeless = next_input == inputs.size() && !has_success;
        if (!host || is_hopeless || error.kind() != ErrorKind::kIo) throw;
        host->fail(error);
      }
    }
    return false;
  }

  void open(std::span<const std::byte> first) {
    if (first.empty() && !options.accept_empty) throw Error(ErrorKind::kData, "empty input", name, "neither text nor a stream");
    if (!first.empty() && first.size() < kMarkBytes && could_start_frame(first))
      throw Error(ErrorKind::kData, "cut stream", name, "it ends within its first frame");
    if (looks_like_stream(first)) {
      reader = std::make_unique<RecordReader>(*source);
      return;
    }
    if (cutting.length == 0) throw Error(ErrorKind::kUsage, "not a stream", name, "text needs a segment length here");
    text = std::make_unique<TextRecords>(*source, tokenizer, cutting, options);
  }

  void close() {
    reader.reset();
    text.reset();
    source.reset();
    has_success = true;
    if (host) host->succeed();
  }

  void check(const Record& record) const {
    const std::string& found = std::visit([](const auto& value) -> const std::string& { return value.tokenizer; }, record);
    if (found != tokenizer.fingerprint()) {
      throw Error(ErrorKind::kMismatch, "made with another tokenizer", name,
                  "its fingerprint is " + found.substr(0, 12) + ", this model's is " + tokenizer.fingerprint().substr(0, 12));
    }
    const Segment* segment = std::get_if<Segment>(&record);
    if (segment && cutting.length != 0 && segment->segment_length != cutting.length) {
      throw Error(
          ErrorKind::kMismatch, "segments of another length", name,
          "they have " + std::to_string(segment->segment_length) + " tokens, expected " + std::to_string(cutting.length));
    }
  }
};

RecordSource::RecordSource(std::vector<std::string> inputs, const Tokenizer& tokenizer, Cutting cutting,
                           DocumentOptions options, Host* host)
    : state_(new State{std::move(inputs), tokenizer, cutting, options, host}) {
  if (state_->inputs.empty()) state_->inputs.push_back("-");
}

RecordSource::~RecordSource() = default;

std::optional<Record> RecordSource::next() {
  State& state = *state_;
  while (state.source || state.open_next()) {
    std::optional<Record> record = state.reader ? state.reader->next() : state.text->next();
    if (record) {
      state.check(*record);
      return record;
    }
    state.close();
  }
  return std::nullopt;
}

const Provenance& RecordSource::provenance() const {
  return state_->reader ? state_->reader->provenance() : state_->no_provenance;
}

const std::string& RecordSource::input() const { return state_->name; }

}  // namespace uio
