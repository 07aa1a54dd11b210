#include "memory/grown_memory.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "memory/memory_tensor.h"

namespace uio {
namespace {

void set_last(Record& record, bool is_last) {
  std::visit([&](auto& value) { value.span.is_last = is_last; }, record);
}

}  // namespace

GrownMemory::GrownMemory(const Ready& ready, std::vector<Record> records) : ready_(ready), records_(std::move(records)) {
  if (!records_.empty()) {
    next_ = span_of(records_.back());
    if (const auto* tail = std::get_if<Segment>(&records_.back()); tail && !tail->is_full()) {
      tail_tokens_ = tail->tokens;
      tail_text_ = tail->text;
      records_.pop_back();
    } else {
      next_.segment += 1;
      next_.first_token += tail ? tail->tokens.size() : std::get<Memory>(records_.back()).token_count;
      next_.byte_begin = next_.byte_end;
      set_last(records_.back(), false);
    }
  } else {
    next_.document = "generated";
  }
  for (const Record& record : records_)
    if (const auto* memory = std::get_if<Memory>(&record)) {
      form_ = memory->form;
      precision_ = memory->precision;
    }
}

void GrownMemory::add(const std::vector<DecoderSession::Compressed>& compressed) {
  for (const DecoderSession::Compressed& one : compressed) {
    const Segment segment = take(one.tokens);
    Memory memory = to_record(segment, *ready_.method, *ready_.model, form_, one.hidden, one.kv.keys[0], one.kv.values[0]);
    memory.precision = precision_;
    records_.emplace_back(std::move(memory));
  }
}

std::vector<Record> GrownMemory::finish(const std::vector<std::int32_t>& local) {
  if (!local.empty() || records_.empty()) records_.emplace_back(take(local));
  set_last(records_.back(), true);
  return std::move(records_);
}

// The next segment of the document, of these tokens.
Segment GrownMemory::take(const std::vector<std::int32_t>& tokens) {
  Segment segment;
  segment.tokenizer = ready_.tokenizer->fingerprint();
  segment.segment_length = ready_.method ? static_cast<std::uint32_t>(ready_.method->segment_length())
                                         : static_cast<std::uint32_t>(std::max<std::size_t>(tokens.size() + 1, 1024));
  segment.tokens = tokens;
  std::size_t known = 0;
  if (!tail_tokens_.empty() && tokens.size() >= tail_tokens_.size()) {
    segment.text = tail_text_;
    known = tail_tokens_.size();
  }
  const bool at_start = next_.first_token == 0 && known == 0;
  segment.text += ready_.tokenizer->decode({tokens.begin() + static_cast<std::ptrdiff_t>(known), tokens.end()}, at_start);
  tail_tokens_.clear();
  segment.span = next_;
  segment.span.is_last = false;
  segment.span.byte_end = segment.span.byte_begin + segment.text.size();
  next_.segment += 1;
  next_.first_token += tokens.size();
  next_.byte_begin = segment.span.byte_end;
  return segment;
}

}  // namespace uio
