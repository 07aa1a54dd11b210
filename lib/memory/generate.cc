#include "memory/generate.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "io/stream.h"
#include "memory/decoder_session.h"
#include "memory/memory_tensor.h"
#include "memory/sampler.h"
#include "model/tensor.h"

namespace uio {
namespace {

// Everything is read before anything is used: a blob that turns out to be cut must not have spoken.
struct Blobs {
  std::vector<Record> records;
  Provenance provenance;
};

Blobs read_blobs(const std::vector<std::string>& paths) {
  Blobs blobs;
  for (const std::string& path : paths) {
    const auto source = open_source(path);
    RecordReader reader(*source);
    while (auto record = reader.next()) blobs.records.push_back(std::move(*record));
    if (blobs.provenance.empty()) blobs.provenance = reader.provenance();
  }
  return blobs;
}

// Text as it may be shown: held back while it could still become a stop string.
class StopFilter {
 public:
  explicit StopFilter(const std::vector<std::string>& stops) : stops_(stops) {}
  bool is_stopped() const { return is_stopped_; }

  std::string add(const std::string& text) {
    held_ += text;
    std::size_t first = std::string::npos;
    for (const std::string& stop : stops_) first = std::min(first, held_.find(stop));
    if (first != std::string::npos) {
      is_stopped_ = true;
      return take(first);
    }
    std::size_t safe = held_.size();
    for (const std::string& stop : stops_)
      for (std::size_t length = std::min(stop.size() - 1, held_.size()); length > 0; --length)
        if (held_.compare(held_.size() - length, length, stop, 0, length) == 0) {
          safe = std::min(safe, held_.size() - length);
          break;
        }
    return take(safe);
  }
  std::string finish() { return is_stopped_ ? std::string() : take(held_.size()); }

 private:
  std::string take(std::size_t count) {
    std::string out = held_.substr(0, count);
    held_.erase(0, count);
    return out;
  }
  const std::vector<std::string>& stops_;
  std::string held_;
  bool is_stopped_ = false;
};

// Continues the last document of what was read with the local text, as records.
class Grower {
 public:
  Grower(const Ready& ready, std::vector<Record> records) : ready_(ready), records_(std::move(records)) {
    if (!records_.empty()) {
      next_ = span_of(records_.back());
      if (const auto* tail = std::get_if<Segment>(&records_.back()); tail && !tail->is_full()) {
        form_tail(*tail);
        records_.pop_back();
      } else {
        next_.segment += 1;
        const std::size_t count = tail ? tail->tokens.size() : std::get<Memory>(records_.back()).token_count;
        next_.first_token += count;
        next_.byte_begin = next_.byte_end;
        set_last(records_.back(), false);
      }
    } else {
      next_.document = "generated";
    }
    for (const Record& record : records_)
      if (const auto* memory = std::get_if<Memory>(&record)) form_ = memory->form, precision_ = memory->precision;
  }

  void add(const std::vector<DecoderSession::Compressed>& compressed) {
    for (const DecoderSession::Compressed& one : compressed) {
      const Segment segment = take(one.tokens);
      Memory memory = to_record(segment, *ready_.method, *ready_.model, form_, one.hidden, one.kv.keys[0], one.kv.values[0]);
      memory.precision = precision_;
      records_.emplace_back(std::move(memory));
    }
  }

  std::vector<Record> finish(const std::vector<std::int32_t>& local) {
    if (!local.empty() || records_.empty()) records_.emplace_back(take(local));
    set_last(records_.back(), true);
    return std::move(records_);
  }

 private:
  static void set_last(Record& record, bool is_last) {
    std::visit([&](auto& value) { value.span.is_last = is_last; }, record);
  }
  // The tail's own bytes stay what they were: ids do not always give them back (normalisation, invalid UTF-8).
  void form_tail(const Segment& tail) {
    tail_tokens_ = tail.tokens;
    tail_text_ = tail.text;
  }
  Segment take(const std::vector<std::int32_t>& tokens) {
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

  const Ready& ready_;
  std::vector<Record> records_;
  Span next_;
  Form form_ = Form::kKv;
  Precision precision_ = Precision::kExact;
  std::vector<std::int32_t> tail_tokens_;
  std::string tail_text_;
};

}  // namespace

GenerateResult generate(const Ready& ready, const GenerateRequest& request, bool keep_grown,
                        const std::function<void(const std::string&)>& emit, Host& host) {
  const Tokenizer& tokenizer = *ready.tokenizer;
  Sampler sampler(request.sampling, request.seed);
  Blobs blobs = read_blobs(request.memory);

  std::int64_t expected = request.max_tokens;
  for (const Record& record : blobs.records)
    expected += std::visit(
        [](const auto& value) -> std::int64_t {
          if constexpr (std::is_same_v<std::decay_t<decltype(value)>, Memory>) return value.memory_length;
          else return static_cast<std::int64_t>(value.tokens.size());
        },
        record);
  std::vector<std::int32_t> prompt;
  const bool is_start = blobs.records.empty();
  if (is_start && tokenizer.bos() >= 0) prompt.push_back(tokenizer.bos());
  for (const Token& token : tokenizer.encode(request.prompt, is_start)) prompt.push_back(token.id);
  expected += static_cast<std::int64_t>(prompt.size());

  const auto device = ready.model->placement().device;
  DecoderSession session(*ready.model, ready.method.get(), expected, request.drop_oldest);
  at::Tensor last;
  for (std::size_t i = 0; i < blobs.records.size(); ++i) {
    if (i > 0 && span_of(blobs.records[i - 1]).is_last) session.end_document();
    if (const auto* memory = std::get_if<Memory>(&blobs.records[i])) {
      KeysValues kv = from_record(*memory, *ready.model, tokenizer.fingerprint(), ready.method.get());
      if (!session.local().empty()) session.end_document();
      session.add_memory({kv.keys.to(device), kv.values.to(device)});
    } else {
      const auto& segment = std::get<Segment>(blobs.records[i]);
      if (segment.tokenizer != tokenizer.fingerprint())
        throw Error(ErrorKind::kMismatch, "segment belongs to another tokenizer", segment.span.document,
                    "made with " + segment.tokenizer + ", this one is " + tokenizer.fingerprint());
      for (const std::int32_t token : segment.tokens) sampler.note(token);
      if (!segment.tokens.empty()) last = session.add_tokens(segment.tokens);
    }
  }
  for (const std::int32_t token : prompt) sampler.note(token);
  if (!prompt.empty()) last = session.add_tokens(prompt);
  if (!last.defined())
    throw Error(ErrorKind::kUsage, "nothing to continue from", "", "there is no prompt, and the memories end with a whole segment",
                "give a prompt with --prompt");

  GenerateResult result;
  result.provenance = blobs.provenance;
  Grower* grower = nullptr;
  std::optional<Grower> grown;
  if (keep_grown) grower = &grown.emplace(ready, std::move(blobs.records));

  TextStream stream(tokenizer, is_start && request.prompt.empty());
  StopFilter filter(request.sampling.stop);
  const auto show = [&](const std::string& text) {
    if (text.empty()) return;
    result.text += text;
    emit(text);
  };
  const std::vector<std::int32_t>& eos = ready.model->config().eos;
  const auto ends = [&](std::int32_t token) {
    return !request.ignore_eos && (token == tokenizer.eos() || std::find(eos.begin(), eos.end(), token) != eos.end());
  };
  for (int step = 0; step < request.max_tokens; ++step) {
    if (grower) grower->add(session.take_compressed());
    const at::Tensor logits = ready.model->logits(ready.model->final_norm(last)).to(at::kCPU, at::kFloat).contiguous();
    const std::int32_t token = sampler.choose({logits.const_data_ptr<float>(), static_cast<std::size_t>(logits.numel())});
    if (ends(token)) {
      result.finish = "eos";
      break;
    }
    result.tokens.push_back(token);
    sampler.note(token);
    show(filter.add(stream.add(token)));
    if (filter.is_stopped()) {
      result.finish = "stop";
      break;
    }
    host.progress(static_cast<std::uint64_t>(step + 1), static_cast<std::uint64_t>(request.max_tokens), "tokens");
    // The last token is fed on only when the grown memory is wanted: nothing is predicted from it.
    if (step + 1 < request.max_tokens || keep_grown) last = session.add_tokens({token});
  }
  if (!filter.is_stopped()) {
    show(filter.add(stream.finish()));
    show(filter.finish());
  }
  if (grower) {
    grower->add(session.take_compressed());
    result.grown = grower->finish(session.local());
  }
  return result;
}

}  // namespace uio
