#include "memory/grown_memory.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "base/error.h"
#include "memory/memory_tensor.h"

namespace uio {
namespace {

void set_last(Record& record, bool is_last) {
  std::visit([&](auto& value) { value.span.is_last = is_last; }, record);
}

}  // namespace

GrownMemory::GrownMemory(const Ready& ready, std::vector<Record> records) : ready_(ready), records_(std::move(records)) {
  for (const Record& record : records_) {
    if (const auto* memory = std::get_if<Memory>(&record)) {
      form_ = memory->form;
      precision_ = memory->precision;
      has_tokens_ = memory->has_tokens;
    } else if (const auto& segment = std::get<Segment>(record); ready_.method && segment.segment_length != ready_.method->segment_length()) {
      // The decoder compresses where its own segments end, which is not where these do.
      throw Error(ErrorKind::kMismatch, "segment of another length", segment.span.document,
                  "cut into " + std::to_string(segment.segment_length) + " tokens, the adapter's segments have " + std::to_string(ready_.method->segment_length()));
    }
  }
  // Raw segments at the end come again as local text, unless the document ends with a whole one and the local text begins behind it.
  next_.document = "generated";
  if (records_.empty()) return;
  bool is_same = true;
  while (is_same && !records_.empty() && std::holds_alternative<Segment>(records_.back())) {
    known_.push_front(std::get<Segment>(std::move(records_.back())));
    records_.pop_back();
    is_same = !records_.empty() && !span_of(records_.back()).is_last;
  }
  if (!known_.empty()) {
    next_ = known_.front().span;
  } else {
    next_ = span_of(records_.back());
    next_.segment += 1;
    next_.first_token += std::get<Memory>(records_.back()).token_count;
    next_.byte_begin = next_.byte_end;
    set_last(records_.back(), false);
  }
}

Memory GrownMemory::memory_of(const Segment& segment, const DecoderSession::Compressed& compressed) const {
  Memory memory = to_record(segment, *ready_.method, *ready_.model, form_, compressed.hidden, compressed.kv.keys[0], compressed.kv.values[0]);
  memory.precision = precision_;
  memory.has_tokens = has_tokens_;
  if (has_tokens_) memory.tokens = segment.tokens;
  return memory;
}

void GrownMemory::add(const std::vector<DecoderSession::Compressed>& compressed) {
  const auto is_raw = [&](const Record& record) {
    const auto* segment = std::get_if<Segment>(&record);
    return segment && ready_.method->is_whole(*segment);
  };
  for (const DecoderSession::Compressed& one : compressed) {
    while (next_raw_ < records_.size() && !is_raw(records_[next_raw_])) ++next_raw_;
    if (next_raw_ < records_.size()) {
      records_[next_raw_] = memory_of(std::get<Segment>(records_[next_raw_]), one);
    } else {
      records_.emplace_back(memory_of(take(one.tokens), one));
    }
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
  segment.text = text_of(tokens);
  segment.span = next_;
  segment.span.is_last = false;
  segment.span.byte_end = segment.span.byte_begin + segment.text.size();
  next_.segment += 1;
  next_.first_token += tokens.size();
  next_.byte_begin = segment.span.byte_end;
  return segment;
}

// The bytes of the next tokens: those that are known, and decoded ones.
std::string GrownMemory::text_of(const std::vector<std::int32_t>& tokens) {
  std::string text;
  std::size_t done = 0;
  while (!known_.empty() && done + known_.front().tokens.size() <= tokens.size()) {
    text += known_.front().text;
    done += known_.front().tokens.size();
    known_.pop_front();
  }
  const bool is_start = next_.first_token == 0 && done == 0;
  return text + ready_.tokenizer->decode({tokens.begin() + static_cast<std::ptrdiff_t>(done), tokens.end()}, is_start);
}

}  // namespace uio
