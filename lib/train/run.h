// A training run: draws documents, adds up their gradients, changes the weights, saves, reports.
#pragma once

#include <memory>
#include <optional>

#include "base/error.h"
#include "train/batches.h"
#include "train/crossbatch.h"
#include "train/document.h"
#include "train/estimators.h"
#include "train/optimiser.h"
#include "train/processes.h"
#include "train/run_state.h"
#include "train/setup.h"

namespace uio {

class Run {
 public:
  Run(const TrainJob& job, JobIo& io, Processes& processes);
  // All steps up to the job's last, and what is to be written at the end. Every process of the run calls it; the first one writes.
  void go();

 private:
  struct Gradient {
    double loss = 0;
    LossTally tally;
    std::int64_t tokens = 0, scored = 0;
    double squares = 0;           // of the norms of the documents' gradients, where their spread is measured
  };
  RunSettings settings() const;
  PlanSettings plan_settings(std::size_t documents) const;
  ModelDocument open(const Batch& batch, std::size_t documents, LossTally& tally) const;
  Crossbatch open(const std::vector<Batch>& mine, std::vector<CrossDocument> documents, std::uint64_t first, Processes& processes, LossTally& tally) const;
  Trainee trainee(std::int64_t tokens) const;
  Json identity() const;
  void check_processes();
  bool is_mine(std::uint64_t document) const;
  bool measures_spread() const;
  void step();
  Gradient gradient(const std::vector<DataOrder::Pick>& picks);
  Gradient cross_gradient(const std::vector<DataOrder::Pick>& all, const std::vector<DataOrder::Pick>& mine);
  const std::vector<Mixture>& mixtures() const;
  double read_alone(Batch batch, LossTally& tally) const;
  void add_up(Gradient& made);
  Error diverged(std::uint64_t step, const std::string& what) const;
  void check_finite(const std::vector<at::Tensor>& gradients, double loss, double norm) const;
  void save(bool is_last);
  void apply(const Gradient& made, const std::vector<at::Tensor>& gradients, double begin, double computed, double summed);
  void validate();
  void print(const Json& line);

  const TrainJob& job_;
  JobIo& io_;
  Processes& processes_;
  std::unique_ptr<TrainStateFile> state_;  // null: none, or read already
  Workshop shop_;
  Objectives objectives_;
  std::vector<std::int64_t> repeat_prompt_;
  const Estimator& estimator_;
  std::vector<Corpus> corpora_;
  std::optional<Corpus> validation_;
  std::optional<DataOrder> order_;
  Optimiser optimiser_;
  Progress progress_;
  std::uint64_t last_step_ = 0, schedule_length_ = 0, saved_step_ = 0;
  Trainee trainee_;
};

}  // namespace uio
