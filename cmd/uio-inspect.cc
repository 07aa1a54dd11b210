// uio-inspect: what is in a stream of segments or memories; checks, cuts and exports it. Needs no model.
#include "cli/program.h"
#include "io/inspect.h"

int main(int argc, char** argv) {
  uio::cli::run_program(uio::cli::kInspect, argc, argv, [](uio::cli::Session& session) {
    const uio::InspectJob& job = session.settings().inspect;
    if (job.cut) session.refuse_terminal(session.settings().output);
    if (!job.export_path.empty()) session.refuse_terminal(job.export_path);
    uio::inspect(job, session.open(session.inputs()));
  });
}
