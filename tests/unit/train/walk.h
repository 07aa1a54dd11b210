// Every way in which random decisions can fall, with its probability: runs are repeated, each along another path of the tree.
#pragma once

#include <cmath>
#include <functional>
#include <stdexcept>
#include <vector>

#include "train/draws.h"

namespace uio::test {

class Walk : public Draws {
 public:
  bool happens(double p) override { return decide({1 - p, p}) == 1; }
  std::int64_t one_of(std::int64_t n) override {
    if (n < 2) throw std::logic_error("one of fewer than two");
    return decide(std::vector<double>(static_cast<std::size_t>(n), 1 / static_cast<double>(n)));
  }
  std::int64_t weighted(std::span<const double> probabilities) override { return decide({probabilities.begin(), probabilities.end()}); }

  // Probability of the path of this run.
  double probability() const {
    double product = 1;
    for (const Decision& one : path_) product *= one.probabilities[static_cast<std::size_t>(one.choice)];
    return product;
  }
  // Goes on to the next path; false after the last.
  bool next() {
    if (depth_ != path_.size()) throw std::logic_error("another run asked for other decisions");
    depth_ = 0;
    while (!path_.empty()) {
      Decision& last = path_.back();
      while (++last.choice < static_cast<std::int64_t>(last.probabilities.size()))
        if (last.probabilities[static_cast<std::size_t>(last.choice)] > 0) return true;
      path_.pop_back();
    }
    return false;
  }

 private:
  struct Decision {
    std::vector<double> probabilities;
    std::int64_t choice;
  };
  std::int64_t decide(std::vector<double> probabilities) {
    double sum = 0;
    for (const double p : probabilities) {
      if (!(p >= 0 && p <= 1)) throw std::logic_error("no probability");
      sum += p;
    }
    if (std::abs(sum - 1) > 1e-12) throw std::logic_error("probabilities do not add up to 1");
    if (depth_ == path_.size()) {
      std::int64_t choice = 0;
      while (probabilities[static_cast<std::size_t>(choice)] == 0) ++choice;
      path_.push_back({std::move(probabilities), choice});
    } else if (path_[depth_].probabilities != probabilities) {
      throw std::logic_error("the same decisions led elsewhere");
    }
    return path_[depth_++].choice;
  }

  std::vector<Decision> path_;
  std::size_t depth_ = 0;
};

// Calls `run` once for every path, with its probability known only afterwards: `run` returns what `seen` then gets with it.
// Returns how many paths there are.
template <typename Run, typename Seen>
int walk(Run run, Seen seen) {
  Walk draws;
  int paths = 0;
  double total = 0;
  do {
    const auto result = run(draws);
    seen(result, draws.probability());
    total += draws.probability();
    ++paths;
  } while (draws.next());
  if (std::abs(total - 1) > 1e-10) throw std::logic_error("paths do not add up to 1");
  return paths;
}

}  // namespace uio::test
