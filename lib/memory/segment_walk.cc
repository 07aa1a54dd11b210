#include "memory/segment_walk.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "memory/memory_cache.h"
#include "memory/memory_tensor.h"
#include "text/segment_source.h"

namespace uio {

SegmentWalk::SegmentWalk(const CompressJob& job, JobIo& io, const Ready& ready)
    : job_(job), io_(io), ready_(ready), method_(ready.need_method()), batch_(method_.is_recurrent() ? 1 : static_cast<std::size_t>(job.batch)) {
  if (method_.is_recurrent() && !job.memory_cache.empty())
    io.host->note("cache: not used, memories of method " + method_.adapter().config.method + " depend on those before them");
  if (has_cache()) arithmetic_ = describe_arithmetic(*ready.model);
}

void SegmentWalk::run() {
  RecordSource source(io_.inputs, *ready_.tokenizer, method_.cutting(), {}, io_.host);
  while (auto record = source.next()) {
    if (!provenance_ || source.provenance() != *provenance_) {  // inputs of other origin get a section of their own
      end();
      begin(source.provenance());
    }
    if (!std::holds_alternative<Segment>(*record))
      throw Error(ErrorKind::kMismatch, "already compressed", source.input(), "record of '" + span_of(*record).document + "' is a memory, not a segment");
    add(std::move(std::get<Segment>(*record)), source.input());
    io_.host->succeed();
  }
  if (!provenance_) begin({});
  end();
}

void SegmentWalk::begin(Provenance provenance) {
  provenance_ = provenance;
  provenance.push_back(io_.stage);
  open(provenance);
}

void SegmentWalk::end() {
  if (!provenance_) return;
  flush();
  close();
}

void SegmentWalk::add(Segment segment, const std::string& input) {
  const std::size_t count = segment.tokens.size();
  if (segment.is_closed && (count == 0 || count > static_cast<std::size_t>(method_.segment_length())))
    throw Error(ErrorKind::kData, "bad segment", input, "closed by its content with " + std::to_string(count) + " tokens, from 1 to " +
                std::to_string(method_.segment_length()) + " can be compressed");
  // Only segments of the same length go side by side.
  const bool is_whole = method_.is_whole(segment);
  if (is_whole && waiting_full_ > 0 && count != full_length_) flush();
  if (is_whole) full_length_ = count;
  waiting_full_ += is_whole;
  waiting_.push_back(std::move(segment));
  if (waiting_full_ == 0 || waiting_full_ >= batch_) flush();
}

// Everything that waits, in order: memories of full segments, tails as they are.
void SegmentWalk::flush() {
  std::vector<const Segment*> full;
  for (const Segment& segment : waiting_)
    if (method_.is_whole(segment)) full.push_back(&segment);
  std::vector<Memory> memories = memories_of(full);
  // The cache keeps what was computed: one entry for all precisions, with token ids and without.
  for (std::size_t i = 0; i < full.size(); ++i) {
    memories[i].precision = job_.precision;
    memories[i].has_tokens = job_.keep_tokens;
    if (job_.keep_tokens) memories[i].tokens = full[i]->tokens;
  }
  std::size_t at = 0;
  for (const Segment& segment : waiting_) {
    if (method_.is_whole(segment)) write(memories[at++]);
    else write(segment);
    done_ += segment.tokens.size();
  }
  waiting_.clear();
  waiting_full_ = 0;
  io_.host->progress(done_, 0, "tokens");
}

// Of segments of one length: from the cache if all are there, else all made side by side, so that whatever is in the cache, what is
// computed is computed in the same shapes.
std::vector<Memory> SegmentWalk::memories_of(const std::vector<const Segment*>& segments) {
  std::vector<Memory> memories;
  std::vector<std::string> keys;
  std::vector<bool> are_found;
  for (const Segment* segment : segments) {
    memories.push_back(memory_header(*segment, method_, *ready_.model, job_.form));
    if (!has_cache()) continue;
    keys.push_back(memory_key(memories.back(), arithmetic_, {keys.size(), segments.size()}));
    are_found.push_back(find(memories.back(), keys.back()));
  }
  if (has_cache() && std::ranges::count(are_found, false) == 0) {
    found_ += memories.size();
    return memories;
  }
  if (!segments.empty()) make(segments, memories);
  made_ += memories.size();
  for (std::size_t i = 0; i < keys.size(); ++i)
    if (!are_found[i]) keep(memories[i], keys[i]);
  return memories;
}

}  // namespace uio
