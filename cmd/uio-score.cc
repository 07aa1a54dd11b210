// uio-score: text in, likelihoods under different contexts out, or what a task finds, one JSON line each.
#include "cli/core.h"
#include "cli/program.h"
#include "cli/scoring.h"

int main(int argc, char** argv) {
  uio::cli::run_program(uio::cli::kScore, argc, argv, [](uio::cli::Session& session) {
    const uio::cli::Settings& settings = session.settings();
    uio::cli::check_scoring(settings);
    uio::ScoreJob job = settings.score;
    job.lines = settings.lines;
    job.jsonl = settings.jsonl;
    const std::vector<std::string> inputs = uio::cli::makes_documents(job) ? std::vector<std::string>() : session.inputs();
    job.choice = session.model();
    uio::JobIo& io = session.open(inputs);
    uio::cli::load_core().score(job, io);
  });
}
