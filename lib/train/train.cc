#include "train/train.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "train/join.h"
#include "train/run.h"

namespace uio {
namespace {

// What would be trained, from configurations alone: no weight is made or read.
void print_shape(const TrainJob& job, JobIo& io) {
  const Trainable trainable = trainable_named(job.trainable);
  const ModelConfig model = read_model_config(job.choice.model);
  const std::int64_t base = model.parameters();
  std::int64_t adapter = 0;
  if (trainable != Trainable::kBase) {
    const std::string path = (job.choice.adapter.empty() ? job.choice.model + "/adapter" : job.choice.adapter) + "/adapter_config.json";
    adapter = parameters_of(job.init_adapter ? asked_shape(job, model) : parse_adapter_config(read_json(path), path), model, job.shape.shared_row);
  }
  const std::int64_t trained = (trainable == Trainable::kAdapter ? 0 : base) + adapter;
  io.output->write(to_json_line({{"trainable", job.trainable}, {"trained", trained}, {"base_parameters", base}, {"adapter_parameters", adapter},
                                 {"adapter_share", static_cast<double>(adapter) / static_cast<double>(base)}}) +
                   "\n");
}

// Of the processes but the first: it speaks for all. Only an error that ends the run is told by the one that has it.
class OtherHost : public Host {
 public:
  explicit OtherHost(Host& host) : host_(host) {}
  void note(const std::string&) override {}
  void warn(const std::string&) override {}
  void fail(const Error&) override {}
  void succeed() override {}
  void progress(std::uint64_t, std::uint64_t, const char*) override {}
  double seconds() override { return host_.seconds(); }

 private:
  Host& host_;
};

}  // namespace

void train(const TrainJob& job, JobIo& io) {
  if (job.dry_run) return print_shape(job, io);
  const std::unique_ptr<Processes> processes = join_processes(io.launch, *io.host);
  OtherHost other(*io.host);
  JobIo own = io;
  if (processes->rank() > 0) own.host = &other;
  std::optional<Run> run;
  processes->together([&] { run.emplace(job, own, *processes); });
  run->go();
  processes->leave();
}

std::vector<std::string> estimator_table() {
  const std::vector<std::string> head = {"NAME", "SIZES", "ENCODER PASSES", "ACTIVATIONS", "RECURRENT", "GRADIENT", "SOURCE"};
  std::vector<std::vector<std::string>> rows = {head};
  for (const Estimator& one : estimators())
    rows.push_back({std::string(one.name), std::string(one.sizes.empty() ? "-" : one.sizes), std::string(one.encodes), std::string(one.keeps),
                    one.takes_recurrent ? "yes" : "no", std::string(one.promise), std::string(one.source)});
  std::vector<std::string> lines(rows.size());
  for (std::size_t column = 0; column < head.size(); ++column) {
    std::size_t width = 0;
    for (const auto& row : rows) width = std::max(width, row[column].size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const bool is_last = column + 1 == head.size();
      lines[i] += rows[i][column] + (is_last ? "" : std::string(width - rows[i][column].size() + 2, ' '));
    }
  }
  return lines;
}

}  // namespace uio
