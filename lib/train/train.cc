#include "train/train.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "train/join.h"
#include "train/run.h"

namespace uio {

namespace {

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
  const std::unique_ptr<Processes> processes = join_processes(job.launch, *io.host);
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
