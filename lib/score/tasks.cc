#include "score/tasks.h"

#include "base/error.h"

namespace uio {

std::span<const ScoreTask> score_tasks() {
  static const ScoreTask kTasks[] = {
      {"perplexity", {"none", "memory", "full"}, false, "the likelihood of the documents' tokens", run_perplexity},
      {"lookup", {"memory"}, false, "values of a dictionary that stands before (arXiv 2307.03170, 4.2)", run_lookup},
      {"passkey", {"memory"}, false, "a number hidden in a text that repeats itself (arXiv 2305.16300)", run_passkey},
      {"focus", {}, true, "the share of attention that the right one of several documents in memory gets (arXiv 2307.03170, 3.3)", run_focus},
  };
  return kTasks;
}

const ScoreTask& find_task(const std::string& name) {
  std::string known;
  for (const ScoreTask& task : score_tasks()) {
    if (task.name == name) return task;
    known += (known.empty() ? "" : ", ") + std::string(task.name);
  }
  throw Error(ErrorKind::kUsage, "unknown task", name, "known: " + known);
}

void write_line(JobIo& io, const Json& line) {
  io.output->write(to_json_line(line) + "\n");
  io.output->flush();
}

}  // namespace uio
