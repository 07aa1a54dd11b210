// Ways to compute, or to estimate, the gradient of a document's loss through its memories (algorithm notes 16). All leave φ's
// gradient exact; they differ in θ's. One table row each; the files exact.cc, whole_graph.cc, retained.cc and importance.cc do the work.
#pragma once

#include <span>
#include <string_view>

#include "train/draws.h"
#include "train/recurrence.h"

namespace uio {

struct EstimatorSettings {
  std::int64_t window = 4;     // W: memories whose encoder graphs are kept; ≥ 1
  std::int64_t reservoir = 4;  // τ or r: size of the sample; ≥ 1
  double decay = 0.9;          // λ of `decayed`, in (0, 1)
};

// Adds the gradient of Σ_j J_j to the leaves' .grad and returns the sum of the losses.
using Estimate = double (*)(Recurrence& document, const EstimatorSettings& settings, Draws& draws);

struct Estimator {
  std::string_view name;
  Estimate estimate;
  bool takes_recurrent;     // also for encoders that read earlier memories
  bool is_sampled;          // draws random numbers: its gradient has a variance
  std::string_view sizes;   // which settings it reads
  std::string_view encodes; // encoder passes, forward + backward, for K memories
  std::string_view keeps;   // activations alive at once; A_e, A_d: one encoder's, one decoder's
  std::string_view promise; // what θ's gradient is
  std::string_view source;
};

std::span<const Estimator> estimators();
// Throws Error{kUsage} that lists the names.
const Estimator& estimator_named(std::string_view name);

double estimate_exact(Recurrence&, const EstimatorSettings&, Draws&);
double estimate_bptt(Recurrence&, const EstimatorSettings&, Draws&);
double estimate_tbptt(Recurrence&, const EstimatorSettings&, Draws&);
double estimate_incremental(Recurrence&, const EstimatorSettings&, Draws&);
double estimate_reservoir(Recurrence&, const EstimatorSettings&, Draws&);
double estimate_window_tail(Recurrence&, const EstimatorSettings&, Draws&);
double estimate_released(Recurrence&, const EstimatorSettings&, Draws&);
double estimate_decayed(Recurrence&, const EstimatorSettings&, Draws&);
double estimate_importance(Recurrence&, const EstimatorSettings&, Draws&);

}  // namespace uio
