// Pass keys: a number said once in a long text that repeats itself, and asked for at its end.
#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/random.h"
#include "memory/slot_session.h"
#include "score/answer.h"
#include "score/pass_key.h"
#include "score/statistics.h"
#include "score/tasks.h"

namespace uio {
namespace {

constexpr std::uint32_t kSamples = 50, kLargestKey = 50000;
constexpr std::uint64_t kLongest = 1 << 30;  // characters or tokens of a text
constexpr std::int64_t kAnswerTokens = 10;  // that landmark attention generates
const std::vector<std::uint64_t> kLengths = {1024, 4096, 16384};

// What of the text the question finds before it.
struct Sight {
  const char* context;
  bool has_text, has_method;
};
constexpr Sight kSights[] = {{"none", false, false}, {"memory", true, true}, {"full", true, false}};

const Sight& find_sight(const std::string& context) {
  std::string known;
  for (const Sight& sight : kSights) {
    if (sight.context == context) return sight;
    known += (known.empty() ? "" : ", ") + std::string(sight.context);
  }
  throw Error(ErrorKind::kUsage, "context not of this task", context, "passkey has " + known);
}

class PassKeys {
 public:
  PassKeys(const ScoreJob& job, JobIo& io, const Ready& ready) : job_(job), io_(io), ready_(ready), ends_(ready.model->config().eos) {
    for (const std::string& name : job.contexts) sights_.push_back(&find_sight(name));
    if (ready.tokenizer->eos() >= 0) ends_.push_back(ready.tokenizer->eos());
  }

  void run() {
    const std::vector<std::uint64_t>& lengths = job_.lengths.empty() ? kLengths : job_.lengths;
    const std::uint32_t samples = job_.samples ? job_.samples : kSamples;
    for (const std::uint64_t length : lengths)
      if (length > kLongest) throw Error(ErrorKind::kUsage, "text too long", std::to_string(length), "expected at most " + std::to_string(kLongest));
    for (const std::uint64_t length : lengths) {
      const std::uint64_t characters = job_.has_characters ? length : characters_of(*ready_.tokenizer, length);
      for (std::uint32_t number = 0; number < samples; ++number) {
        Random random(job_.choice.seed, "passkey " + std::to_string(length), number);
        PassKey text;
        text.key = 1 + static_cast<std::uint32_t>(random.below(kLargestKey));
        text.before = random.below(characters + 1);
        text.after = characters - text.before;
        for (const Sight* sight : sights_) ask(text, *sight, length, number);
        io_.host->progress(++asked_, samples * lengths.size(), "texts");
      }
    }
    for (const std::uint64_t length : lengths)
      for (const Sight* sight : sights_) summarise(length, *sight);
  }

 private:
  struct Total {
    Proportion first, exact;
  };

  void ask(const PassKey& text, const Sight& sight, std::uint64_t length, std::uint32_t number) {
    const Tokenizer& tokenizer = *ready_.tokenizer;
    const std::vector<std::int32_t> prompt = ids_of_text(tokenizer, (sight.has_text ? text.context() : std::string()) + PassKey::question());
    const std::vector<std::int32_t> key = ids_of_key(tokenizer, text.key);
    const std::int64_t count = std::max(kAnswerTokens, static_cast<std::int64_t>(key.size()));
    std::vector<std::int32_t> tokens;
    try {
      tokens = answer(*ready_.model, *session(sight, static_cast<std::int64_t>(prompt.size()) + count), prompt, count, ends_);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kMismatch) throw;
      io_.host->fail(error);  // the text is too long for this context
      return;
    }
    const bool is_exact = tokens.size() >= key.size() && std::equal(key.begin(), key.end(), tokens.begin());
    tokens.resize(std::min(tokens.size(), static_cast<std::size_t>(kAnswerTokens)));
    const std::string output = tokenizer.decode(tokens, false);
    const bool is_first = has_first_number(output, text.key);
    write_line(io_, Json{{"id", "passkey-" + std::to_string(length) + "-" + std::to_string(number)},
                         {"task", "passkey"},
                         {"context", sight.context},
                         {"length", length},
                         {"characters", text.before + text.after},
                         {"before", text.before},
                         {"tokens", prompt.size()},
                         {"answer", std::to_string(text.key)},
                         {"output", output},
                         {"first_number", is_first},
                         {"exact_tokens", is_exact}});
    io_.host->succeed();
    Total& total = totals_[{length, &sight}];
    total.first.add(is_first);
    total.exact.add(is_exact);
  }

  std::unique_ptr<DecoderSession> session(const Sight& sight, std::int64_t positions) const {
    if (sight.has_method) return ready_.need_method().make_session(positions, job_.drop_oldest);
    return std::make_unique<SlotSession>(*ready_.model, nullptr, positions, false);
  }

  void summarise(std::uint64_t length, const Sight& sight) {
    const auto found = totals_.find({length, &sight});
    if (found == totals_.end()) return;
    const Total& total = found->second;
    write_line(io_, Json{{"summary", true},
                         {"task", "passkey"},
                         {"context", sight.context},
                         {"length", length},
                         {"n", total.first.n},
                         {"first_number", total.first.value()},
                         {"first_number_interval", total.first.interval()},
                         {"exact_tokens", total.exact.value()},
                         {"exact_tokens_interval", total.exact.interval()}});
  }

  const ScoreJob& job_;
  JobIo& io_;
  const Ready& ready_;
  std::vector<std::int32_t> ends_;
  std::vector<const Sight*> sights_;
  std::map<std::pair<std::uint64_t, const Sight*>, Total> totals_;
  std::uint64_t asked_ = 0;
};

}  // namespace

void run_passkey(const ScoreJob& job, JobIo& io, const Ready& ready) { PassKeys(job, io, ready).run(); }

}  // namespace uio
