// uio-segment: text in, a stream of segments out.
#include "cli/program.h"
#include "io/memory_window.h"
#include "text/segment_job.h"

namespace {

// An adapter made on the spot has no length of its own to read.
constexpr std::uint32_t kFreshSegmentLength = 1024;

uio::DocumentUnit unit_of(const uio::cli::Settings& settings) {
  if (settings.lines && settings.jsonl)
    throw uio::Error(uio::ErrorKind::kUsage, "--lines and --jsonl exclude each other", "", "");
  return settings.lines ? uio::DocumentUnit::kLine : settings.jsonl ? uio::DocumentUnit::kJsonLine : uio::DocumentUnit::kFile;
}

}  // namespace

int main(int argc, char** argv) {
  uio::cli::run_program(uio::cli::kSegment, argc, argv, [](uio::cli::Session& session) {
    uio::SegmentJob job = session.settings().segment;
    job.unit = unit_of(session.settings());
    session.refuse_terminal(session.settings().output);
    const std::vector<std::string> inputs = session.inputs();
    const uio::ModelChoice choice = session.model();
    job.model = choice.model;
    job.adapter = choice.adapter;
    job.has_windows = uio::choose_method(choice) == "fot";
    if (choice.adapter == "fresh" && job.segment_length == 0) job.segment_length = kFreshSegmentLength;
    uio::segment(job, session.open(inputs));
  });
}
