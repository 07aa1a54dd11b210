// The best of many scores, which come in blocks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/rows.h"

namespace uio::kernels {

template <typename Real>
inline constexpr Real kLowest = -std::numeric_limits<Real>::infinity();

template <typename Real>
struct Entry {
  Real score;
  std::int64_t index;
  bool operator<(const Entry& other) const { return score > other.score || (score == other.score && index < other.index); }
};

// The best of the scores that were shown to it.
template <typename Real>
class Best {
 public:
  // `n` scores of the rows from `first` on, which come in ascending order: of equal ones the earlier is kept.
  void show(const Real* scores, std::int64_t n, std::int64_t first, std::int64_t count) {
    for (std::int64_t at = 0; at < n; at += kStretch) {
      const std::int64_t some = std::min(kStretch, n - at);
      if (highest(scores + at, some) > threshold_)
        for (std::int64_t i = at; i < at + some; ++i)
          if (scores[i] > threshold_) add({scores[i], first + i}, count);
    }
  }
  void add(const Entry<Real>& entry, std::int64_t count) {
    entries_.push_back(entry);
    if (static_cast<std::int64_t>(entries_.size()) >= 2 * count) select(count);
  }
  void add_all(const Best& other, std::int64_t count) {
    entries_.insert(entries_.end(), other.entries_.begin(), other.entries_.end());
    if (static_cast<std::int64_t>(entries_.size()) > count) select(count);
  }
  // The best `count`, in order; what is missing of the `there` that there are had a score that is no number.
  void write(Real* scores, std::int64_t* index, std::int64_t count, std::int64_t there) {
    if (static_cast<std::int64_t>(entries_.size()) > count) select(count);
    std::sort(entries_.begin(), entries_.end());
    const auto found = static_cast<std::int64_t>(entries_.size());
    for (std::int64_t i = 0; i < count; ++i) {
      const bool is_missing = i < std::min(count, there);
      scores[i] = i < found ? entries_[static_cast<std::size_t>(i)].score : is_missing ? std::numeric_limits<Real>::quiet_NaN() : kLowest<Real>;
      index[i] = i < found ? entries_[static_cast<std::size_t>(i)].index : -1;
    }
  }

 private:
  static constexpr std::int64_t kStretch = 64;  // scores that are looked at together

  static float highest(const float* scores, std::int64_t n) { return row_kernels().row_max(scores, n); }
  static double highest(const double* scores, std::int64_t n) { return *std::max_element(scores, scores + n, [](double a, double b) { return a < b || a != a; }); }
  void select(std::int64_t count) {
    const auto last = entries_.begin() + count - 1;
    std::nth_element(entries_.begin(), last, entries_.end());
    threshold_ = last->score;
    entries_.resize(static_cast<std::size_t>(count));
  }

  Real threshold_ = kLowest<Real>;
  std::vector<Entry<Real>> entries_;
};

}  // namespace uio::kernels
