// uio-score: text in, likelihoods under different contexts out, one JSON line each.
#include "cli/core.h"
#include "cli/program.h"

int main(int argc, char** argv) {
  uio::cli::run_program(uio::cli::kScore, argc, argv, [](uio::cli::Session& session) {
    const uio::cli::Settings& settings = session.settings();
    uio::ScoreJob job = settings.score;
    job.lines = settings.lines;
    job.jsonl = settings.jsonl;
    if (job.lines && job.jsonl) throw uio::Error(uio::ErrorKind::kUsage, "--lines and --jsonl exclude each other", "", "");
    if (!job.verify.empty() && settings.choice.weights != "stored")
      throw uio::Error(uio::ErrorKind::kUsage, "--verify with --weights int8", job.verify, "memories that are kept are made with the weights as stored");
    const std::vector<std::string> inputs = session.inputs();
    job.choice = session.model();
    uio::JobIo& io = session.open(inputs);
    uio::cli::load_core().score(job, io);
  });
}
