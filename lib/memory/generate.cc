#include "memory/generate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "base/error.h"
#include "text/chat.h"

namespace uio {
namespace {

bool has_no_record(const std::vector<std::shared_ptr<const Blob>>& blobs) {
  return std::all_of(blobs.begin(), blobs.end(), [](const auto& blob) { return blob->records.empty(); });
}

std::int64_t positions_of(const std::vector<std::shared_ptr<const Blob>>& blobs) {
  std::int64_t positions = 0;
  for (const auto& blob : blobs) positions += blob->positions;
  return positions;
}

}  // namespace

Generation::Generation(const Ready& ready, GenerateRequest request, std::vector<std::shared_ptr<const Blob>> blobs, bool keep_grown, Emit emit)
    : ready_(ready),
      request_(std::move(request)),
      blobs_(std::move(blobs)),
      emit_(std::move(emit)),
      is_start_(has_no_record(blobs_)),
      prompt_(encode_prompt(*ready.tokenizer, request_.prompt, request_.prompting, is_start_)),
      end_of_turn_(uio::end_of_turn(*ready.tokenizer, request_.prompting)),
      sampler_(request_.sampling, request_.seed),
      session_(ready.make_session(positions_of(blobs_) + static_cast<std::int64_t>(prompt_.size()) + request_.max_tokens, request_.drop_oldest)),
      stream_(*ready.tokenizer, (is_start_ && request_.prompt.empty()) || end_of_turn_ >= 0),  // an answer is a text of its own
      filter_(request_.sampling.stop) {
  for (const auto& blob : blobs_) read(*blob);
  for (const std::int32_t token : prompt_) sampler_.note(token);
  if (request_.retrieve > 0) {
    if (prompt_.empty()) throw Error(ErrorKind::kUsage, "nothing to retrieve by", "", "there is no prompt", "give one with --prompt");
    session_->retrieve(prompt_, request_.retrieve);
  }
  if (!prompt_.empty()) last_ = session_->add_tokens(prompt_);
  if (!last_.defined())
    throw Error(ErrorKind::kUsage, "nothing to continue from", "", "there is no prompt, and the memories end with a whole segment",
                "give a prompt with --prompt");
  if (keep_grown) {
    std::vector<Record> records;
    for (const auto& blob : blobs_) records.insert(records.end(), blob->records.begin(), blob->records.end());
    grown_.emplace(ready_, std::move(records));
  }
  if (request_.max_tokens == 0) end("length");
}

void Generation::read(const Blob& blob) {
  std::size_t next = 0;
  for (const Record& record : blob.records) {
    if (ends_document_) session_->end_document();
    ends_document_ = span_of(record).is_last;
    if (std::holds_alternative<Memory>(record)) {
      if (!session_->local().empty()) session_->end_document();
      if (blob.stored) session_->add_stored(blob.stored, std::get<Memory>(record).memory_length);
      else session_->add_memory(blob.memories[next++], std::get<Memory>(record).tokens);
    } else {
      const auto& segment = std::get<Segment>(record);
      for (const std::int32_t token : segment.tokens) sampler_.note(token);
      if (const at::Tensor last = session_->add_segment(segment); last.defined()) last_ = last;
    }
  }
}

const Provenance& Generation::provenance() const {
  static const Provenance kNone;
  return blobs_.empty() ? kNone : blobs_.front()->provenance;
}

std::vector<Record> Generation::take_grown() {
  grown_->add(session_->take_compressed());
  return grown_->finish(session_->local());
}

void Generation::show(const std::string& text) {
  if (text.empty()) return;
  text_ += text;
  emit_(text);
}

void Generation::end(const char* finish) {
  finish_ = finish;
  is_done_ = true;
  if (filter_.is_stopped()) return;
  show(filter_.add(stream_.finish()));
  show(filter_.finish());
}

void Generation::choose(std::span<const float> logits) {
  const std::int32_t token = sampler_.choose(logits);
  const std::vector<std::int32_t>& eos = ready_.model->config().eos;
  if (!request_.ignore_eos && (token == ready_.tokenizer->eos() || (token == end_of_turn_ && token >= 0) || std::find(eos.begin(), eos.end(), token) != eos.end())) return end("eos");
  tokens_.push_back(token);
  sampler_.note(token);
  show(filter_.add(stream_.add(token)));
  if (filter_.is_stopped()) return end("stop");
  const bool is_enough = static_cast<int>(tokens_.size()) == request_.max_tokens;
  // The last token is fed on only when the grown memory is wanted: nothing is predicted from it.
  if (!is_enough || grown_) pending_ = token;
  if (is_enough) end("length");
}

void Generation::advance(std::span<Generation* const> generations, const std::function<void(std::size_t)>& fail) {
  const Model& model = *generations.front()->ready_.model;
  std::vector<at::Tensor> rows;
  for (const Generation* generation : generations) rows.push_back(generation->last_);
  const at::Tensor logits = model.logits(model.final_norm(at::cat(rows))).to(at::kCPU, at::kFloat).contiguous();
  const auto vocabulary = static_cast<std::size_t>(logits.size(1));

  std::vector<std::size_t> going;
  std::vector<DecoderSession*> sessions;
  std::vector<std::int32_t> tokens;
  for (std::size_t i = 0; i < generations.size(); ++i) {
    Generation& generation = *generations[i];
    generation.choose({logits.const_data_ptr<float>() + i * vocabulary, vocabulary});
    if (!generation.pending_) continue;
    try {
      generation.session_->prepare();
    } catch (const Error&) {
      fail(i);
      continue;
    }
    going.push_back(i);
    sessions.push_back(generation.session_.get());
    tokens.push_back(*std::exchange(generation.pending_, std::nullopt));
  }
  if (going.empty()) return;
  const at::Tensor fed = DecoderSession::add_token_each(sessions, tokens);
  for (std::size_t k = 0; k < going.size(); ++k) {
    Generation& generation = *generations[going[k]];
    generation.last_ = fed.narrow(0, static_cast<std::int64_t>(k), 1);
    try {
      generation.session_->settle();
      if (generation.grown_) generation.grown_->add(generation.session_->take_compressed());
    } catch (const Error&) {
      fail(going[k]);
    }
  }
}

}  // namespace uio
