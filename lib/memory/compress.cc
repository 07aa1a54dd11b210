// The work of uio-compress: segments in, memories out; the tail of each document stays as it is.
#include "memory/compress.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <deque>

#include "base/error.h"
#include "io/stream.h"
#include "memory/memory_tensor.h"
#include "memory/setup.h"
#include "text/segment_source.h"

namespace uio {
namespace {

constexpr std::int64_t kTokensAtOnce = 2048;  // rows of a product from which on it runs at full speed

class Compressor {
 public:
  Compressor(const CompressJob& job, JobIo& io, const Ready& ready)
      : job_(job), io_(io), ready_(ready), method_(ready.need_method()), batch_(batch_size()) {}

  void run() {
    RecordSource source(io_.inputs, *ready_.tokenizer, static_cast<std::uint32_t>(method_.segment_length()), {}, io_.host);
    while (auto record = source.next()) {
      if (!writer_ || source.provenance() != provenance_) {  // inputs of other origin get a section of their own
        close();
        open(source.provenance());
      }
      if (!std::holds_alternative<Segment>(*record))
        throw Error(ErrorKind::kMismatch, "already compressed", source.input(), "record of '" + span_of(*record).document + "' is a memory, not a segment");
      const auto& segment = std::get<Segment>(*record);
      if (segment.is_closed && segment.tokens.size() != static_cast<std::size_t>(method_.segment_length()))
        throw Error(ErrorKind::kMismatch, "segment of another length", source.input(),
                    std::to_string(segment.tokens.size()) + " tokens closed by content, this method takes " + std::to_string(method_.segment_length()));
      waiting_full_ += segment.is_full();
      waiting_.push_back(std::move(std::get<Segment>(*record)));
      if (waiting_full_ >= batch_) flush();
      io_.host->succeed();
    }
    if (!writer_) open({});
    close();
  }

 private:
  std::int64_t batch_size() const {
    if (job_.batch > 0) return job_.batch;
    return std::max<std::int64_t>(1, kTokensAtOnce / (method_.segment_length() + method_.memory_length()));
  }

  void close() {
    if (!writer_) return;
    flush();
    writer_->finish();
    writer_.reset();
  }

  void open(Provenance provenance) {
    provenance_ = provenance;
    provenance.push_back(io_.stage);
    StreamOptions options;
    options.level = job_.level;
    writer_ = std::make_unique<RecordWriter>(*io_.output, std::move(provenance), options);
  }

  // Everything that waits, in order: full segments through the encoder at once, tails as they are.
  void flush() {
    std::vector<const Segment*> full;
    for (const Segment& segment : waiting_)
      if (segment.is_full()) full.push_back(&segment);
    at::Tensor hidden;
    KeysValues kv;
    if (!full.empty()) {
      std::vector<at::Tensor> rows;
      for (const Segment* segment : full) rows.push_back(at::tensor(segment->tokens, at::kInt).to(at::kLong));
      hidden = method_.encode(at::stack(rows));
      if (job_.form == Form::kKv) kv = method_.transfer(hidden);
    }
    std::int64_t at = 0;
    for (const Segment& segment : waiting_) {
      if (segment.is_full()) {
        const bool is_kv = job_.form == Form::kKv;
        Memory memory = to_record(segment, method_, *ready_.model, job_.form, hidden[at], is_kv ? kv.keys[at] : at::Tensor(),
                                  is_kv ? kv.values[at] : at::Tensor());
        memory.precision = job_.precision;
        writer_->write(memory);
        ++at;
      } else {
        writer_->write(segment);
      }
      done_ += segment.tokens.size();
    }
    waiting_.clear();
    waiting_full_ = 0;
    io_.host->progress(done_, 0, "tokens");
  }

  const CompressJob& job_;
  JobIo& io_;
  const Ready& ready_;
  const MemoryMethod& method_;
  std::int64_t batch_;
  std::unique_ptr<RecordWriter> writer_;
  Provenance provenance_;  // of the input that the writer's section is made from
  std::deque<Segment> waiting_;
  std::int64_t waiting_full_ = 0;
  std::uint64_t done_ = 0;
};

}  // namespace

void compress(const CompressJob& job, JobIo& io) {
  const c10::InferenceMode no_gradients;
  const Ready ready = make_ready(job.choice, AdapterNeed::kYes, *io.host);
  Compressor(job, io, ready).run();
}

}  // namespace uio
