// The work of uio-compress: segments in, memories out; the tail of each document stays as it is.
#include "memory/compress.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <deque>
#include <optional>

#include "base/error.h"
#include "io/stream.h"
#include "memory/memory_cache.h"
#include "memory/memory_tensor.h"
#include "memory/setup.h"
#include "text/segment_source.h"

namespace uio {
namespace {

class Compressor {
 public:
  Compressor(const CompressJob& job, JobIo& io, const Ready& ready)
      : job_(job), io_(io), ready_(ready), method_(ready.need_method()), batch_(static_cast<std::size_t>(job.batch)) {
    if (!job.memory_cache.empty()) cache_.emplace(job.memory_cache, job.cache_bytes, *ready.model, *io.host);
  }

  void run() {
    RecordSource source(io_.inputs, *ready_.tokenizer, static_cast<std::uint32_t>(method_.segment_length()), {}, io_.host);
    while (auto record = source.next()) {
      if (!writer_ || source.provenance() != provenance_) {  // inputs of other origin get a section of their own
        close();
        open(source.provenance());
      }
      if (!std::holds_alternative<Segment>(*record))
        throw Error(ErrorKind::kMismatch, "already compressed", source.input(), "record of '" + span_of(*record).document + "' is a memory, not a segment");
      add(std::move(std::get<Segment>(*record)), source.input());
      io_.host->succeed();
    }
    if (!writer_) open({});
    close();
    if (cache_) io_.host->note("cache: " + std::to_string(found_) + " memories found, " + std::to_string(made_) + " made");
  }

 private:
  void add(Segment segment, const std::string& input) {
    const std::size_t count = segment.tokens.size();
    if (segment.is_closed && (count == 0 || count > static_cast<std::size_t>(method_.segment_length())))
      throw Error(ErrorKind::kData, "bad segment", input, "closed by its content with " + std::to_string(count) + " tokens, from 1 to " +
                  std::to_string(method_.segment_length()) + " can be compressed");
    // Only segments of the same length go side by side.
    if (segment.is_full() && waiting_full_ > 0 && count != full_length_) flush();
    if (segment.is_full()) full_length_ = count;
    waiting_full_ += segment.is_full();
    waiting_.push_back(std::move(segment));
    if (waiting_full_ == 0 || waiting_full_ >= batch_) flush();
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

  // Everything that waits, in order: memories of full segments, tails as they are.
  void flush() {
    std::vector<const Segment*> full;
    for (const Segment& segment : waiting_)
      if (segment.is_full()) full.push_back(&segment);
    std::vector<Memory> memories = memories_of(full);
    for (Memory& memory : memories) memory.precision = job_.precision;  // the cache keeps what was computed: one entry for all precisions
    std::size_t at = 0;
    for (const Segment& segment : waiting_) {
      if (segment.is_full()) writer_->write(memories[at++]);
      else writer_->write(segment);
      done_ += segment.tokens.size();
    }
    waiting_.clear();
    waiting_full_ = 0;
    io_.host->progress(done_, 0, "tokens");
  }

  // Of segments of one length: from the cache if all are there, else all computed side by side, so that whatever is in the cache, what is
  // computed is computed in the same shapes.
  std::vector<Memory> memories_of(const std::vector<const Segment*>& segments) {
    std::vector<Memory> memories;
    std::vector<std::string> keys;
    std::vector<bool> are_found;
    for (const Segment* segment : segments) {
      memories.push_back(memory_header(*segment, method_, *ready_.model, job_.form));
      if (!cache_) continue;
      keys.push_back(cache_->key_of(memories.back(), {keys.size(), segments.size()}));
      are_found.push_back(cache_->fill(memories.back(), keys.back()));
    }
    if (cache_ && std::ranges::count(are_found, false) == 0) {
      found_ += memories.size();
      return memories;
    }
    encode(segments, memories);
    made_ += memories.size();
    for (std::size_t i = 0; i < keys.size(); ++i)
      if (!are_found[i]) cache_->store(memories[i], keys[i]);
    return memories;
  }

  // Segments through the encoder at once.
  void encode(const std::vector<const Segment*>& segments, std::vector<Memory>& memories) {
    std::vector<at::Tensor> rows;
    for (const Segment* segment : segments) rows.push_back(at::tensor(segment->tokens, at::kInt).to(at::kLong));
    if (rows.empty()) return;
    const at::Tensor hidden = method_.encode(at::stack(rows));
    const bool is_kv = job_.form == Form::kKv;
    const KeysValues kv = is_kv ? method_.transfer(hidden) : KeysValues();
    for (std::size_t i = 0; i < memories.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i);
      set_tensors(memories[i], hidden[row], is_kv ? kv.keys[row] : at::Tensor(), is_kv ? kv.values[row] : at::Tensor());
    }
  }

  const CompressJob& job_;
  JobIo& io_;
  const Ready& ready_;
  const MemoryMethod& method_;
  std::size_t batch_;
  std::optional<MemoryCache> cache_;
  std::unique_ptr<RecordWriter> writer_;
  Provenance provenance_;  // of the input that the writer's section is made from
  std::deque<Segment> waiting_;
  std::size_t waiting_full_ = 0, full_length_ = 0;  // full ones that wait, and the tokens of each
  std::uint64_t done_ = 0, found_ = 0, made_ = 0;
};

}  // namespace

void compress(const CompressJob& job, JobIo& io) {
  const c10::InferenceMode no_gradients;
  const Ready ready = make_ready(job.choice, AdapterNeed::kYes, *io.host);
  Compressor(job, io, ready).run();
}

}  // namespace uio
