// uio-compress: a stream of segments in, a stream of memories and tails out.
#include "cli/core.h"
#include "cli/program.h"

int main(int argc, char** argv) {
  uio::cli::run_program(uio::cli::kCompress, argc, argv, [](uio::cli::Session& session) {
    if (!session.settings().compress.dry_run) session.refuse_terminal(session.settings().output);
    const std::vector<std::string> inputs = session.inputs();
    const uio::CompressJob job = session.compress();
    uio::JobIo& io = session.open(inputs);
    uio::cli::load_core().compress(job, io);
  });
}
