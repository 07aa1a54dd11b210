// The likelihood of the tokens of documents under several contexts.
#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>
#include <vector>

#include "base/error.h"
#include "memory/blob.h"
#include "score/contexts.h"
#include "score/document.h"
#include "score/statistics.h"
#include "score/tasks.h"
#include "search/far_memory.h"

namespace uio {
namespace {

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

// What an index finds of what exact search finds, and what that does to the likelihoods.
struct Recall {
  SearchTally keys;
  std::uint64_t tokens = 0;
  double difference = 0, largest = 0;  // log p with the index less that with exact search: its sum, and the largest of either sign

  void add(double change) {
    ++tokens;
    difference += change;
    largest = std::max(largest, std::abs(change));
  }
  void operator+=(const Recall& other) {
    keys.found += other.keys.found, keys.wanted += other.keys.wanted, tokens += other.tokens;
    difference += other.difference, largest = std::max(largest, other.largest);
  }
  void tell(Json& line) const {
    if (tokens == 0) return;
    line["recall"] = keys.wanted == 0 ? Json() : Json(static_cast<double>(keys.found) / static_cast<double>(keys.wanted));
    line["recall_keys"] = keys.wanted;
    line["logprob_difference"] = difference / static_cast<double>(tokens);
    line["largest_logprob_difference"] = largest;
  }
};

class Perplexity {
 public:
  Perplexity(const ScoreJob& job, JobIo& io, const Ready& ready) : job_(job), io_(io), ready_(ready) {
    for (const std::string& name : job.contexts) {
      const ContextEntry& context = find_context(name);
      if (!context.needs_memory || job.documents_in_memory.empty()) columns_.push_back({&context, 0});
      else for (const std::uint32_t count : job.documents_in_memory) columns_.push_back({&context, count});
    }
    for (const Column& column : columns_) most_earlier_ = std::max<std::size_t>(most_earlier_, column.documents > 0 ? column.documents - 1 : 0);
    const std::int64_t capacity = ready.model->config().capacity();
    length_ = ready.method            ? ready.method->segment_length()
              : job.choice.segment_length ? job.choice.segment_length
                                          : std::min<std::int64_t>(1024, capacity);
    if (job.memory.empty()) return;
    if (!ready.need_method().takes_memory_before())
      throw Error(ErrorKind::kUsage, "--memory with another method", job.memory, "method " + ready.method->adapter().config.method + " has positions, which its memories would take");
    before_ = read_blob(job.memory, ready, false);
  }

  void run() {
    ReadingHost reading(*io_.host);
    RecordSource source(io_.inputs, *ready_.tokenizer, static_cast<std::uint32_t>(length_), document_options(job_), &reading);
    // Windows before a tail of its own length are closed, and are cut anew.
    DocumentGatherer documents(source, ready_.method && ready_.method->cutting().tail > 0);
    bool is_enough = true;
    while (auto document = documents.next()) {
      is_enough = earlier_.size() == most_earlier_;
      if (is_enough) score_document(*document);
      if (most_earlier_ == 0) continue;
      if (earlier_.size() == most_earlier_) earlier_.pop_front();
      earlier_.push_back(std::move(document->ids));
    }
    if (!is_enough)
      throw Error(ErrorKind::kUsage, "fewer documents than are to be in memory", std::to_string(most_earlier_ + 1), "there are " + std::to_string(earlier_.size()));
    for (const Column& column : columns_) {
      if (column.scored == 0) continue;
      Json line = line_of(column, column.total, column.recall);
      line["summary"] = true;
      line["documents"] = column.scored;
      write_line(io_, line);
    }
  }

 private:
  // What tokens see, and what became of all of them.
  struct Column {
    const ContextEntry* context;
    std::uint32_t documents;  // in memory, the scored one among them; 0: its own memories alone
    Likelihood total = {};
    Recall recall = {};
    std::uint64_t scored = 0;  // documents
  };

  static Json line_of(const Column& column, const Likelihood& likelihood, const Recall& recall) {
    Json line = figures(likelihood);
    line["context"] = column.context->name;
    recall.tell(line);
    if (column.documents > 0) line["documents_in_memory"] = column.documents;
    return line;
  }

  void score_document(const ScoredDocument& document) {
    const auto n = static_cast<std::int64_t>(document.ids.size());
    const bool is_last = job_.last > 0;
    const std::int64_t first = is_last ? std::max<std::int64_t>(1, n - static_cast<std::int64_t>(std::min<std::uint64_t>(job_.last, 1ull << 40))) : 1;
    const TokenList tokens(document.ids);
    ScoreInput input{ready_, document.id, tokens, length_, first, is_last, job_.drop_oldest, job_.batch, *io_.host, job_.form, job_.precision};
    input.retrieve = job_.retrieve;
    input.before = before_.get();
    const std::vector<std::uint64_t> ends = document.token_ends(*ready_.tokenizer);
    for (Column& column : columns_) {
      std::vector<TokenList> lists;
      for (std::size_t before = column.documents > 0 ? column.documents - 1 : 0; before > 0; --before) lists.emplace_back(earlier_[earlier_.size() - before]);
      std::vector<const TokenSequence*> earlier;
      for (const TokenList& list : lists) earlier.push_back(&list);
      input.earlier = earlier;
      std::vector<double> scores;
      Recall recall;
      try {
        scores = job_.recall && column.context->needs_memory ? score_twice(*column.context, input, recall) : score_tokens(*column.context, input);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::kMismatch) throw;
        io_.host->fail(error);  // this context is too long for the model; the others are not
        continue;
      }
      report(document, column, scores, ends, recall);
      io_.host->succeed();
    }
  }

  // With the index, and what exact search gives instead.
  static std::vector<double> score_twice(const ContextEntry& context, ScoreInput input, Recall& recall) {
    input.tally = &recall.keys;
    const std::vector<double> scores = score_tokens(context, input);
    input.tally = nullptr;
    input.searches_exactly = true;
    const std::vector<double> exact = score_tokens(context, input);
    for (std::size_t i = 0; i < scores.size(); ++i)
      if (!std::isnan(scores[i])) recall.add(scores[i] - exact[i]);
    return scores;
  }

  void report(const ScoredDocument& document, Column& column, const std::vector<double>& scores, const std::vector<std::uint64_t>& ends, const Recall& recall) {
    Likelihood likelihood;
    std::uint64_t byte_begin = document.text.size();
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (std::isnan(scores[i])) continue;
      likelihood.add(scores[i]);
      byte_begin = std::min(byte_begin, i == 0 ? 0 : ends[i - 1]);
      if (!job_.per_token) continue;
      Json line{{"id", document.id}, {"context", column.context->name}, {"position", i}, {"token", document.ids[i]}, {"logprob", scores[i]}};
      if (column.documents > 0) line["documents_in_memory"] = column.documents;
      write_line(io_, line);
    }
    if (likelihood.tokens > 0) {
      likelihood.bytes = document.text.size() - byte_begin;
      likelihood.words = count_words(document.text.substr(byte_begin));
    }
    Json line = line_of(column, likelihood, recall);
    line["id"] = document.id;
    write_line(io_, line);
    column.total += likelihood;
    column.recall += recall;
    ++column.scored;
  }

  const ScoreJob& job_;
  JobIo& io_;
  const Ready& ready_;
  std::vector<Column> columns_;
  std::int64_t length_;
  std::shared_ptr<const Blob> before_;
  std::size_t most_earlier_ = 0;                    // documents before one that some column needs
  std::deque<std::vector<std::int32_t>> earlier_;  // the latest so many
};

}  // namespace

void run_perplexity(const ScoreJob& job, JobIo& io, const Ready& ready) { Perplexity(job, io, ready).run(); }

}  // namespace uio
