#include "memory/dry_run.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/process_memory.h"
#include "io/compression.h"
#include "io/json.h"
#include "io/memory_codec.h"
#include "io/path.h"
#include "io/stream_size.h"
#include "kernels/attention.h"
#include "kernels/linear.h"
#include "kernels/rms_norm.h"
#include "kernels/rotary.h"
#include "kernels/swiglu.h"
#include "memory/memory_cache.h"
#include "memory/segment_walk.h"
#include "model/residency.h"

namespace uio {
namespace {

constexpr std::uint64_t kUsualFrame = 1 << 18;  // bytes of a payload that zstd sees at once, unless one layer has more

class DryRun : public SegmentWalk {
 public:
  DryRun(const CompressJob& job, JobIo& io, const Ready& ready)
      : SegmentWalk(job, io, ready), size_(io.output->name(), job.level), ids_(static_cast<std::size_t>(ready.model->config().vocabulary)) {
    if (!has_cache()) return;
    if (path_exists(job.memory_cache) && !std::filesystem::is_directory(job.memory_cache))
      throw Error(ErrorKind::kIo, "cannot make the cache", job.memory_cache, "not a directory");
    if (model().fingerprint().empty())
      io.host->warn("the cache is not asked: the fingerprint of '" + model().directory() + "' is not remembered, and its weights are not read");
  }

  Json result() const {
    Json line = {{"segments", tails_ + memories_}, {"tokens", tokens_}, {"memories", memories_}, {"tails", tails_},
                 {job().level == 0 ? "bytes" : "bytes_at_most", size_.bytes()}, {"flops", flops_}};
    if (has_cache()) line["found"] = found();
    line["peak_bytes"] = model().placement().device.is_cpu() ? Json(peak()) : Json();
    return line;
  }

 private:
  void open(const Provenance& provenance) override { size_.start(provenance); }
  void close() override { size_.finish(); }

  void write(const Segment& tail) override {
    size_.add(tail);
    ++tails_;
    tokens_ += tail.tokens.size();
  }

  void write(const Memory& memory) override {
    Memory header = memory;
    if (header.base.empty()) header.base = std::string(64, '0');  // as long as any other
    size_.add(header);
    ++memories_;
    tokens_ += memory.token_count;
    frame_ = std::max(frame_, std::min(payload_bytes(header), std::max(kUsualFrame, payload_bytes(header) / header.layers)));
  }

  bool find(Memory& memory, const std::string& key) override {
    return kept_.contains(key) || (!model().fingerprint().empty() && holds_memory(job().memory_cache, memory, key));
  }

  void keep(const Memory&, const std::string& key) override { kept_.insert(key); }

  void make(const std::vector<const Segment*>& segments, std::vector<Memory>&) override {
    const auto tokens = static_cast<std::int64_t>(segments.front()->tokens.size()), count = static_cast<std::int64_t>(segments.size());
    for (const Segment* segment : segments) {
      const auto [low, high] = std::ranges::minmax(segment->tokens);
      model().check_ids(low, high);
      for (const std::int32_t id : segment->tokens) ids_[static_cast<std::size_t>(id)] = true;
    }
    const auto known = costs_.find(tokens);
    const double flops = known != costs_.end() ? known->second : costs_[tokens] = method().cost()->segment_flops(tokens, job().form);
    flops_ += static_cast<double>(count) * flops;
    if (count * tokens > largest_count_ * largest_tokens_) largest_count_ = count, largest_tokens_ = tokens;
  }

  // What this process takes now, when its libraries are at work, and what the weights and the largest batch would add.
  std::uint64_t peak() const {
    WeightUse use;
    use.is_hashed = model().fingerprint().empty();
    use.reads = [&](const std::string& name) { return made() > 0 && method().cost()->reads_weight(name, job().form); };
    use.ids = ids_;
    const std::uint64_t weights = resident_weights(model().directory(), model().config(), model().placement(), use);
    if (made() == 0) return std::max(peak_bytes(), resident_bytes() + weights);
    warm_up();
    const std::uint64_t resident = resident_bytes(), heap = heap_bytes();
    for (int batch = 0; batch < 2; ++batch) method().cost()->rehearse(largest_count_, largest_tokens_, job().form);  // the next finds holes that the first left
    return std::max(peak_bytes(), resident + weights + heap_bytes() - heap);
  }

  // Thin products of nothing, of as many rows as the largest batch has: code, threads and scratch of the libraries are part of a run's memory.
  void warm_up() const {
    const Placement& placement = model().placement();
    const ModelConfig& c = model().config();
    constexpr std::int64_t kHeads = 4, kSize = 64, kWidth = kHeads * kSize;
    const std::int64_t count = largest_count_ * (largest_tokens_ + method().memory_length());
    for (const std::int64_t in : {c.hidden_size, c.intermediate_size})
      kernels::linear(at::zeros({count, in}, placement.computed), at::zeros({kWidth, in}, placement.stored));
    const at::Tensor rows = at::zeros({kWidth, kWidth}, placement.residual());
    const at::Tensor product = kernels::rms_norm(rows, at::ones({kWidth}, placement.residual()), 1e-5, placement.computed);
    const at::Tensor angle = at::zeros({kWidth, kSize / 2}, placement.residual());
    kernels::swiglu(product.clone(), product);
    const at::Tensor heads = kernels::rotary(product.view({1, kWidth, kHeads, kSize}).transpose(1, 2), angle, angle);
    const kernels::AttentionPart parts[] = {{heads, heads, heads, kernels::Visible::kCausal, {}}};
    const at::Tensor found = kernels::attention(parts, 1).transpose(1, 2).flatten(2);
    at::stack({at::cat({found, found}, 1)}).to(placement.stored);
    std::vector<std::byte> payload;
    Compressor(job().level).append_frame(std::vector<std::byte>(frame_), payload);
  }

  StreamSize size_;
  std::vector<bool> ids_;             // that segments to be computed have
  std::set<std::string> kept_;        // keys that this run would have put into the cache
  std::map<std::int64_t, double> costs_;  // FLOPs of a segment, by its tokens
  std::uint64_t memories_ = 0, tails_ = 0, tokens_ = 0, frame_ = 0;
  std::int64_t largest_count_ = 0, largest_tokens_ = 0;  // of the segments that are computed side by side
  double flops_ = 0;
};

}  // namespace

void dry_run(const CompressJob& job, JobIo& io) {
  const Ready ready = make_ready(job.choice, AdapterNeed::kYes, *io.host, Model::Weights::kShapes);
  if (!ready.need_method().cost())
    throw Error(ErrorKind::kUsage, "no dry run with this method", ready.method->adapter().config.method, "what a memory takes depends on those before it");
  DryRun run(job, io, ready);
  run.run();
  io.output->write(to_json_line(run.result()) + "\n");
}

}  // namespace uio
