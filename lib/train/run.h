// A training run: draws documents, adds up their gradients, changes the weights, saves, reports.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "train/corpus.h"
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
  // Documents that are computed side by side, and the number of the first in the run.
  struct Batch {
    std::vector<Document> documents;
    std::uint64_t number = 0;
  };
  using Clock = std::function<double()>;

  RunSettings settings() const;
  PlanSettings plan_settings(std::size_t documents) const;
  std::vector<Batch> batches(const std::vector<DataOrder::Pick>& picks) const;
  std::int64_t documents_at_once(std::int64_t tokens) const;
  ModelDocument open(const Batch& batch, std::size_t documents, LossTally& tally, Plan* plan_made) const;
  void check_agreement();
  bool is_mine(std::uint64_t document) const;
  bool measures_spread() const;
  void step();
  Gradient gradient(const std::vector<DataOrder::Pick>& picks);
  void add_up(Gradient& made);
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
  AdamW optimiser_;
  Progress progress_;
  std::uint64_t last_step_ = 0, schedule_length_ = 0, saved_step_ = 0;
  Trainee trainee_;
};

}  // namespace uio
