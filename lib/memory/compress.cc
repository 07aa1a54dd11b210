// The work of uio-compress: segments in, memories out; the tail of each document stays as it is.
#include "memory/compress.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <memory>
#include <optional>

#include "base/error.h"
#include "io/stream.h"
#include "memory/dry_run.h"
#include "memory/earlier_memories.h"
#include "memory/memory_cache.h"
#include "memory/memory_tensor.h"
#include "memory/segment_walk.h"
#include "memory/setup.h"

namespace uio {
namespace {

class Compression : public SegmentWalk {
 public:
  Compression(const CompressJob& job, JobIo& io, const Ready& ready) : SegmentWalk(job, io, ready) {
    if (has_cache()) cache_.emplace(job.memory_cache, job.cache_bytes, *io.host);
  }

  void note() {
    if (cache_) io().host->note("cache: " + std::to_string(found()) + " memories found, " + std::to_string(made()) + " made");
  }

 private:
  void open(const Provenance& provenance) override {
    StreamOptions options;
    options.level = job().level;
    writer_ = std::make_unique<RecordWriter>(*io().output, provenance, options);
  }
  void close() override { writer_->finish(); }
  void write(const Segment& tail) override { writer_->write(tail); }
  void write(const Memory& memory) override { writer_->write(memory); }
  bool find(Memory& memory, const std::string& key) override { return cache_->fill(memory, key); }
  void keep(const Memory& memory, const std::string& key) override { cache_->store(memory, key); }

  void make(const std::vector<const Segment*>& segments, std::vector<Memory>& memories) override {
    std::vector<at::Tensor> rows;
    for (const Segment* segment : segments) rows.push_back(at::tensor(segment->tokens, at::kInt).to(at::kLong));
    if (method().is_recurrent()) earlier_.begin(segments.front()->span);
    const at::Tensor hidden = method().encode(at::stack(rows), earlier_.memories());
    if (method().is_recurrent()) earlier_.add(hidden);
    const bool is_kv = job().form == Form::kKv;
    const KeysValues kv = is_kv ? method().transfer(hidden) : KeysValues();
    for (std::size_t i = 0; i < memories.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i);
      set_tensors(memories[i], hidden[row], is_kv ? kv.keys[row] : at::Tensor(), is_kv ? kv.values[row] : at::Tensor(), job().precision);
    }
  }

  std::optional<MemoryCache> cache_;
  EarlierMemories earlier_;
  std::unique_ptr<RecordWriter> writer_;
};

}  // namespace

void compress(const CompressJob& job, JobIo& io) {
  const c10::InferenceMode no_gradients;
  if (job.dry_run) return dry_run(job, io);
  const Ready ready = make_ready(job.choice, AdapterNeed::kYes, *io.host);
  if (const std::string& method = ready.need_method().adapter().config.method; !job.index.empty() && find_method(method).has_positions)
    throw Error(ErrorKind::kUsage, "--index with another method", method, "its memories have positions, and all of them are read");
  Compression compression(job, io, ready);
  compression.run();
  compression.note();
}

}  // namespace uio
