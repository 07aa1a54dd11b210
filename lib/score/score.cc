#include "score/score.h"

#include <c10/core/InferenceMode.h>

#include "score/contexts.h"
#include "score/document.h"
#include "score/tasks.h"
#include "score/verify.h"

namespace uio {

void score(const ScoreJob& asked, JobIo& io) {
  const c10::InferenceMode no_gradients;
  const ScoreTask& task = find_task(asked.task);
  ScoreJob job = asked;
  if (job.contexts.empty()) job.contexts = task.contexts;
  bool needs_memory = !job.verify.empty() || task.needs_memory;
  for (const std::string& name : job.contexts) needs_memory = find_context(name).needs_memory || needs_memory;
  const Ready ready = make_ready(job.choice, needs_memory ? AdapterNeed::kYes : AdapterNeed::kIfThere, *io.host);
  if (!job.verify.empty()) verify(job, io, ready, document_options(job));
  else task.run(job, io, ready);
}

}  // namespace uio
