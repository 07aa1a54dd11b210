// Values of a dictionary, looked up by a model that reads the definitions into its memory and is told every symbol before the one that it predicts.
#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "base/error.h"
#include "score/contexts.h"
#include "score/dictionary.h"
#include "score/statistics.h"
#include "score/tasks.h"

namespace uio {
namespace {

constexpr std::uint32_t kSamples = 10;
const std::vector<std::uint64_t> kLengths = {512, 4096, 32768};

void check_vocabulary(const Ready& ready) {
  const auto refuse = [&](const std::string& reason) {
    throw Error(ErrorKind::kMismatch, "model without the dictionary's vocabulary", ready.model->directory(), reason, "examples/fot-lookup makes one that has it");
  };
  if (const std::int64_t size = ready.model->config().vocabulary; size != Dictionary::kVocabulary)
    refuse("it has " + std::to_string(size) + " tokens, the task's documents are made of " + std::to_string(Dictionary::kVocabulary));
  for (const auto& [id, name] : {std::pair{Dictionary::kKey, "<k>"}, {Dictionary::kValue, "<v>"}, {Dictionary::kQuery, "<q>"}})
    if (ready.tokenizer->vocabulary_size() <= id || ready.tokenizer->bytes_of(id) != name) refuse("token " + std::to_string(id) + " is not " + name);
}

// What became of the values that were asked for.
struct Answers {
  Proportion tokens, values;
  Likelihood likelihood;

  Answers& operator+=(const Answers& other) {
    tokens += other.tokens, values += other.values, likelihood += other.likelihood;
    return *this;
  }
};

Answers look_up(const ContextEntry& context, const ScoreInput& input, const Dictionary& dictionary) {
  Answers answers;
  bool is_right = true;  // so far, of the value that is being spelt
  context.predict(input, [&](std::int64_t first, const at::Tensor& rows) {
    const at::Tensor table = at::log_softmax(input.ready.model->logits(rows), -1).to(at::kCPU, at::kDouble);
    const at::Tensor best = table.argmax(1), ids = dictionary.ids(first, first + rows.size(0)).squeeze(0);
    const at::Tensor scores = table.gather(1, ids.unsqueeze(1)).squeeze(1);
    for (std::int64_t i = 0; i < rows.size(0); ++i) {
      const std::int64_t place = dictionary.place_in_value(first + i);
      if (place < 0) continue;
      const bool is_hit = best.const_data_ptr<std::int64_t>()[i] == ids.const_data_ptr<std::int64_t>()[i];
      is_right = is_hit && (place == 0 || is_right);
      answers.tokens.add(is_hit);
      answers.likelihood.add(scores.const_data_ptr<double>()[i]);
      if (place == Dictionary::kString - 1) answers.values.add(is_right);
    }
  });
  return answers;
}

Json line_of(const Answers& answers, const ContextEntry& context, std::uint64_t length) {
  return Json{{"task", "lookup"},
              {"context", context.name},
              {"length", length},
              {"tokens", answers.tokens.n},
              {"values", answers.values.n},
              {"token_accuracy", answers.tokens.value()},
              {"value_accuracy", answers.values.value()},
              {"nll", answers.likelihood.mean()}};
}

// All documents of one length under one context.
struct Total {
  Answers answers;
  Sample tokens, values;  // accuracies of the documents
};

}  // namespace

void run_lookup(const ScoreJob& job, JobIo& io, const Ready& ready) {
  check_vocabulary(ready);
  const std::vector<std::uint64_t>& lengths = job.lengths.empty() ? kLengths : job.lengths;
  for (const std::uint64_t length : lengths) Dictionary(static_cast<std::int64_t>(length), 0, 0);  // refuses what there is not, before anything is computed
  std::map<std::pair<std::size_t, std::size_t>, Total> totals;  // by length and context
  for (std::size_t l = 0; l < lengths.size(); ++l)
    for (std::uint32_t number = 0; number < (job.samples ? job.samples : kSamples); ++number) {
      const Dictionary dictionary(static_cast<std::int64_t>(lengths[l]), job.choice.seed, number);
      const std::string id = "lookup-" + std::to_string(lengths[l]) + "-" + std::to_string(number);
      const ScoreInput input{ready, id, dictionary, ready.method ? ready.method->segment_length() : dictionary.size(), dictionary.first_query(), true,
                             job.drop_oldest, job.batch, *io.host, job.form, job.precision};
      for (std::size_t c = 0; c < job.contexts.size(); ++c) {
        const ContextEntry& context = find_context(job.contexts[c]);
        Answers answers;
        try {
          answers = look_up(context, input, dictionary);
        } catch (const Error& error) {
          if (error.kind() != ErrorKind::kMismatch) throw;
          io.host->fail(error);
          continue;
        }
        Json line = line_of(answers, context, lengths[l]);
        line["id"] = id;
        line["records"] = dictionary.records();
        write_line(io, line);
        io.host->succeed();
        Total& total = totals[{l, c}];
        total.answers += answers;
        total.tokens.add(answers.tokens.value());
        total.values.add(answers.values.value());
      }
    }
  for (const auto& [key, total] : totals) {
    Json line = line_of(total.answers, find_context(job.contexts[key.second]), lengths[key.first]);
    line["summary"] = true;
    line["documents"] = total.tokens.size();
    line["token_accuracy_min"] = total.tokens.least();
    line["token_accuracy_max"] = total.tokens.most();
    line["value_accuracy_min"] = total.values.least();
    line["value_accuracy_max"] = total.values.most();
    line["value_accuracy_interval"] = total.answers.values.interval();
    write_line(io, line);
  }
}

}  // namespace uio
