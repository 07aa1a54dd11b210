// uio-compress: a stream of segments in, a stream of memories and tails out; and the index of a blob beside it.
#include "cli/core.h"
#include "cli/program.h"

namespace {

// Of blobs that are there.
void index(uio::cli::Session& session, const std::vector<std::string>& blobs) {
  const uio::IndexJob job{session.settings().choice, session.settings().compress.index};
  uio::cli::load_core().index(job, session.open(blobs));
}

void check_index(const uio::CompressJob& job) {
  if (job.dry_run) throw uio::Error(uio::ErrorKind::kUsage, "--index with --dry-run", job.index, "what is not written has no index");
  if (job.level != 0 || job.precision != uio::Precision::kExact || job.form != uio::Form::kKv)
    throw uio::Error(uio::ErrorKind::kUsage, "--index with memories that are not stored as they are", job.index, "keys are searched where they lie",
                     "leave out --level, --precision and --form");
}

}  // namespace

int main(int argc, char** argv) {
  uio::cli::run_program(uio::cli::kCompress, argc, argv, [](uio::cli::Session& session) {
    const uio::cli::Settings& settings = session.settings();
    const bool has_index = !settings.compress.index.empty();
    if (has_index && settings.output == "-" && !settings.compress.dry_run) return index(session, session.inputs());
    if (!settings.compress.dry_run) session.refuse_terminal(settings.output);
    const std::vector<std::string> inputs = session.inputs();
    const uio::CompressJob job = session.compress();
    if (has_index) check_index(job);
    uio::JobIo& io = session.open(inputs);
    uio::cli::load_core().compress(job, io);
    if (!has_index) return;
    session.commit();
    index(session, {settings.output});
  });
}
