#include "score/score.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "io/json.h"
#include "memory/setup.h"
#include "score/contexts.h"
#include "score/document.h"
#include "score/statistics.h"
#include "score/verify.h"

namespace uio {
namespace {

DocumentOptions document_options(const ScoreJob& job) {
  DocumentOptions options;
  options.accept_empty = true;
  options.unit = job.jsonl ? DocumentUnit::kJsonLine : job.lines ? DocumentUnit::kLine : DocumentUnit::kFile;
  options.replace_invalid = job.replace_invalid;
  return options;
}

// Reading a document is no success yet: one whose every context is refused leaves the run with that failure's status.
class ReadingHost : public Host {
 public:
  explicit ReadingHost(Host& host) : host_(host) {}
  void note(const std::string& line) override { host_.note(line); }
  void warn(const std::string& line) override { host_.warn(line); }
  void fail(const Error& error) override { host_.fail(error); }
  void succeed() override {}
  void progress(std::uint64_t done, std::uint64_t total, const char* unit) override { host_.progress(done, total, unit); }
  double seconds() override { return host_.seconds(); }

 private:
  Host& host_;
};

class Perplexity {
 public:
  Perplexity(const ScoreJob& job, JobIo& io, const Ready& ready) : job_(job), io_(io), ready_(ready) {
    for (const std::string& name : job.contexts) contexts_.push_back(&find_context(name));
    const std::int64_t capacity = ready.model->config().capacity();
    length_ = ready.method            ? ready.method->segment_length()
              : job.choice.segment_length ? job.choice.segment_length
                                          : std::min<std::int64_t>(1024, capacity);
  }

  void run() {
    ReadingHost reading(*io_.host);
    RecordSource source(io_.inputs, *ready_.tokenizer, static_cast<std::uint32_t>(length_), document_options(job_), &reading);
    // Windows before a tail of its own length are closed, and are cut anew.
    DocumentGatherer documents(source, ready_.method && ready_.method->cutting().tail > 0);
    while (const auto document = documents.next()) score_document(*document);
    for (const ContextEntry* context : contexts_) {
      if (!documents_.contains(context)) continue;
      Json line = figures(totals_[context]);
      line["summary"] = true;
      line["context"] = context->name;
      line["documents"] = documents_[context];
      emit(line);
    }
  }

 private:
  void score_document(const ScoredDocument& document) {
    const auto n = static_cast<std::int64_t>(document.ids.size());
    const bool is_last = job_.last > 0;
    const std::int64_t first = is_last ? std::max<std::int64_t>(1, n - static_cast<std::int64_t>(std::min<std::uint64_t>(job_.last, 1ull << 40))) : 1;
    const ScoreInput input{ready_, document.id, document.ids, length_, first, is_last, job_.drop_oldest, job_.batch, *io_.host, job_.form, job_.precision};
    const std::vector<std::uint64_t> ends = document.token_ends(*ready_.tokenizer);
    for (const ContextEntry* context : contexts_) {
      std::vector<double> scores;
      try {
        scores = context->score(input);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::kMismatch) throw;
        io_.host->fail(error);  // this context is too long for the model; the others are not
        continue;
      }
      report(document, *context, scores, ends);
      io_.host->succeed();
    }
  }

  void report(const ScoredDocument& document, const ContextEntry& context, const std::vector<double>& scores, const std::vector<std::uint64_t>& ends) {
    Likelihood likelihood;
    std::uint64_t byte_begin = document.text.size();
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (std::isnan(scores[i])) continue;
      likelihood.add(scores[i]);
      byte_begin = std::min(byte_begin, i == 0 ? 0 : ends[i - 1]);
      if (job_.per_token)
        emit(Json{{"id", document.id}, {"context", context.name}, {"position", i}, {"token", document.ids[i]}, {"logprob", scores[i]}});
    }
    if (likelihood.tokens > 0) {
      likelihood.bytes = document.text.size() - byte_begin;
      likelihood.words = count_words(document.text.substr(byte_begin));
    }
    Json line = figures(likelihood);
    line["id"] = document.id;
    line["context"] = context.name;
    emit(line);
    totals_[&context] += likelihood;
    documents_[&context] += 1;
  }

  void emit(const Json& line) {
    io_.output->write(to_json_line(line) + "\n");
    io_.output->flush();
  }

  const ScoreJob& job_;
  JobIo& io_;
  const Ready& ready_;
  std::vector<const ContextEntry*> contexts_;
  std::int64_t length_;
  std::map<const ContextEntry*, Likelihood> totals_;
  std::map<const ContextEntry*, std::uint64_t> documents_;
};

}  // namespace

void score(const ScoreJob& job, JobIo& io) {
  const c10::InferenceMode no_gradients;
  bool needs_memory = !job.verify.empty();
  for (const std::string& name : job.contexts) needs_memory = find_context(name).needs_memory || needs_memory;
  const Ready ready = make_ready(job.choice, needs_memory ? AdapterNeed::kYes : AdapterNeed::kIfThere, *io.host);
  if (!job.verify.empty()) verify(job, io, ready, document_options(job));
  else Perplexity(job, io, ready).run();
}

}  // namespace uio
