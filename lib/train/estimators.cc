#include "train/estimators.h"

#include <string>

#include "base/error.h"

namespace uio {
namespace {

constexpr Estimator kEstimators[] = {
    {.name = "exact", .estimate = estimate_exact, .takes_recurrent = true, .is_sampled = false, .sizes = "", .encodes = "2K + K",
     .keeps = "max(A_e, A_d)", .promise = "the full gradient", .source = "reverse recompute"},
    {.name = "bptt", .estimate = estimate_bptt, .takes_recurrent = true, .is_sampled = false, .sizes = "", .encodes = "K + K",
     .keeps = "K (A_e + A_d)", .promise = "the full gradient", .source = "one graph: the reference"},
    {.name = "tbptt", .estimate = estimate_tbptt, .takes_recurrent = false, .is_sampled = false, .sizes = "window", .encodes = "K + KW",
     .keeps = "W A_e + A_d", .promise = "biased: nothing beyond the window", .source = "the naive window"},
    {.name = "incremental", .estimate = estimate_incremental, .takes_recurrent = false, .is_sampled = false, .sizes = "window", .encodes = "K + K",
     .keeps = "W A_e + A_d", .promise = "equal to tbptt", .source = "arXiv 2406.18173"},
    {.name = "reservoir", .estimate = estimate_reservoir, .takes_recurrent = false, .is_sampled = true, .sizes = "reservoir",
     .encodes = "K + R(1+ln(K/R))", .keeps = "R A_e + A_d", .promise = "unbiased", .source = "reservoir, inverse probability weights"},
    {.name = "window+tail", .estimate = estimate_window_tail, .takes_recurrent = false, .is_sampled = true, .sizes = "window, reservoir",
     .encodes = "K + K", .keeps = "(W+R) A_e + A_d", .promise = "unbiased", .source = "exact window, sampled tail"},
    {.name = "importance", .estimate = estimate_importance, .takes_recurrent = false, .is_sampled = true, .sizes = "reservoir", .encodes = "K+R + R",
     .keeps = "max(A_e, A_d)", .promise = "unbiased", .source = "encoders drawn by cotangent norm"},
    {.name = "released", .estimate = estimate_released, .takes_recurrent = false, .is_sampled = true, .sizes = "reservoir",
     .encodes = "K + R(1+ln(K/R))", .keeps = "R A_e + A_d", .promise = "biased: late losses count R/n", .source = "arXiv 2406.18173, released code"},
    {.name = "decayed", .estimate = estimate_decayed, .takes_recurrent = false, .is_sampled = false, .sizes = "window, decay", .encodes = "K + K",
     .keeps = "W A_e + A_d", .promise = "biased: a re-weighted window", .source = "arXiv 2406.18173, text"},
};

}  // namespace

std::span<const Estimator> estimators() { return kEstimators; }

const Estimator& estimator_named(std::string_view name) {
  std::string names;
  for (const Estimator& one : kEstimators) {
    if (one.name == name) return one;
    names += (names.empty() ? "" : ", ") + std::string(one.name);
  }
  throw Error(ErrorKind::kUsage, "no such estimator", std::string(name), "expected one of " + names);
}

}  // namespace uio
