// What uio-score measures: one file and one row of the table each.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/jobs.h"
#include "io/json.h"
#include "memory/setup.h"

namespace uio {

struct ScoreTask {
  std::string_view name;
  std::vector<std::string> contexts;  // where none are asked for
  bool needs_memory;                  // whatever the contexts
  std::string_view summary;
  // Reads io.inputs, or makes its documents of job.choice.seed, and writes a JSON line an item and its summaries at the end. A context that a document is
  // too long for fails that item alone.
  void (*run)(const ScoreJob& job, JobIo& io, const Ready& ready);
};

std::span<const ScoreTask> score_tasks();
// Throws Error{kUsage} listing the known ones.
const ScoreTask& find_task(const std::string& name);

// One line of output, handed on at once.
void write_line(JobIo& io, const Json& line);

void run_perplexity(const ScoreJob& job, JobIo& io, const Ready& ready);
void run_lookup(const ScoreJob& job, JobIo& io, const Ready& ready);
void run_passkey(const ScoreJob& job, JobIo& io, const Ready& ready);
void run_focus(const ScoreJob& job, JobIo& io, const Ready& ready);

}  // namespace uio
