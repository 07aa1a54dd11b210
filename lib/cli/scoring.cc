#include "cli/scoring.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/numbers.h"

namespace uio::cli {
namespace {

// Options that not every task has, and the tasks that have them.
struct Row {
  const char* option;
  const char* tasks;
};
constexpr Row kRows[] = {
    {"lengths", "lookup|passkey"},
    {"unit", "passkey"},
    {"samples", "lookup|passkey|focus"},
    {"documents-in-memory", "perplexity|focus"},
    {"context", "perplexity|lookup|passkey"},
    {"overflow", "perplexity|lookup|passkey"},
    {"last", "perplexity"},
    {"per-token", "perplexity"},
    {"verify", "perplexity"},
    {"tolerance", "perplexity"},
    {"lines", "perplexity|focus"},
    {"jsonl", "perplexity|focus"},
    {"replace-invalid", "perplexity|focus"},
    {"form", "perplexity|lookup"},
    {"precision", "perplexity|lookup"},
    {"retrieve", "perplexity"},
    {"memory", "perplexity"},
    {"recall", "perplexity"},
};

}  // namespace

bool makes_documents(const ScoreJob& job) { return job.task == "lookup" || job.task == "passkey"; }

void check_scoring(const Settings& settings) {
  const std::string& task = settings.score.task;
  for (const Row& row : kRows) {
    const std::vector<std::string> tasks = split(row.tasks, '|');
    if (settings.given.contains(row.option) && std::find(tasks.begin(), tasks.end(), task) == tasks.end())
      throw Error(ErrorKind::kUsage, std::string("--") + row.option + " with --task " + task, "", "it is an option of " + std::string(row.tasks));
  }
  const auto refuse = [](const std::string& what, const std::string& subject, const std::string& reason, const std::string& hint = "") {
    throw Error(ErrorKind::kUsage, what, subject, reason, hint);
  };
  const ScoreJob& job = settings.score;
  if (makes_documents(job) && !settings.operands.empty()) refuse("operand with --task " + task, settings.operands.front(), "the task makes its documents");
  if (settings.lines && settings.jsonl) refuse("--lines and --jsonl exclude each other", "", "");
  if (!job.verify.empty() && settings.choice.weights != "stored")
    refuse("--verify with --weights int8", job.verify, "memories that are kept are made with the weights as stored");
  if (job.recall && (settings.choice.search != "index" || job.memory.empty()))
    refuse("--recall without an index", "", "it compares searches with an index with exact ones", "add --search index --memory BLOB");
  if (!job.memory.empty() && !job.verify.empty()) refuse("--memory and --verify exclude each other", "", "");
}

}  // namespace uio::cli
