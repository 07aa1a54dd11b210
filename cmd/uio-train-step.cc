// uio-train-step: segments in, a state some optimisation steps later, one JSON line of metrics a step out.
#include "cli/core.h"
#include "cli/launch.h"
#include "cli/program.h"
#include "cli/training.h"

namespace {

void print_estimators(uio::cli::Session& session) {
  const uio::JobIo& io = session.open({});
  for (const std::string& line : uio::cli::load_core().estimators()) io.output->write(line + "\n");
}

}  // namespace

int main(int argc, char** argv) {
  uio::cli::run_program(uio::cli::kTrain, argc, argv, [](uio::cli::Session& session) {
    const uio::cli::Settings& settings = session.settings();
    if (settings.list_estimators) return print_estimators(session);
    uio::cli::check_training(settings);
    uio::TrainJob job = settings.train;
    job.lines = settings.lines;
    job.jsonl = settings.jsonl;
    const std::vector<std::string> inputs = session.inputs();
    job.choice = session.model();
    job.init_adapter = job.choice.adapter == "fresh";
    uio::cli::check_shape(settings, job.choice.adapter);
    const uio::Launch launch = uio::cli::find_launch();
    uio::cli::check_launch(launch, inputs, job.validate);
    job.choice.threads = uio::cli::share_of_threads(launch, job.choice.threads);
    job.choice.device = uio::cli::share_of_devices(launch, job.choice.device);
    uio::JobIo& io = session.open(inputs, launch);
    uio::cli::load_core().train(job, io);
  });
}
