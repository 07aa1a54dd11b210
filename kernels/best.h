// The best of many scores, which come in blocks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/rows.h"

namespace uio::kernels {

template <typename Real>
inline constexpr Real kLowest = -std::numeric_limits<Real>::infinity();

// The best of the scores that were shown to it. Of equal ones those with the lowest index are kept.
template <typename Real>
class Best {
 public:
  // `n` scores of the rows from `first` on.
  void show(const Real* scores, std::int64_t n, std::int64_t first, std::int64_t count) {
    for (std::int64_t at = 0; at < n; at += kStretch) {
      std::int32_t places[kStretch];
      const std::int64_t hits = above(scores + at, std::min(kStretch, n - at), threshold_, places);
      for (std::int64_t i = 0; i < hits; ++i) {
        const std::int64_t place = at + places[i];
        if (scores[place] > threshold_) add(scores[place], first + place, count);  // it rises on the way
      }
    }
  }
  void add(Real score, std::int64_t index, std::int64_t count) {
    if (size_ == scores_.size()) grow(std::max<std::size_t>(2 * size_, static_cast<std::size_t>(2 * count)));
    scores_[size_] = score, index_[size_] = index;
    if (++size_ >= static_cast<std::size_t>(2 * count)) select(count);
  }
  void add_all(const Best& other, std::int64_t count) {
    if (scores_.size() < size_ + other.size_) grow(size_ + other.size_);
    std::copy_n(other.scores_.begin(), other.size_, scores_.begin() + static_cast<std::ptrdiff_t>(size_));
    std::copy_n(other.index_.begin(), other.size_, index_.begin() + static_cast<std::ptrdiff_t>(size_));
    size_ += other.size_;
    select(count);
  }
  // The best `count`, in order; what is missing of the `there` that there are had a score that is no number.
  void write(Real* scores, std::int64_t* index, std::int64_t count, std::int64_t there) {
    select(count);
    std::vector<std::pair<Real, std::int64_t>> entries(size_);
    for (std::size_t i = 0; i < size_; ++i) entries[i] = {-scores_[i], index_[i]};
    std::sort(entries.begin(), entries.end());
    for (std::int64_t i = 0; i < count; ++i) {
      const bool is_there = i < static_cast<std::int64_t>(size_);
      scores[i] = is_there ? -entries[static_cast<std::size_t>(i)].first : i < there ? std::numeric_limits<Real>::quiet_NaN() : kLowest<Real>;
      index[i] = is_there ? entries[static_cast<std::size_t>(i)].second : -1;
    }
  }
  // Their rows in any order, −1 behind them.
  void write_rows(std::int64_t* index, std::int64_t count) {
    select(count);
    std::fill(std::copy_n(index_.begin(), size_, index), index + count, -1);
  }

 private:
  static constexpr std::int64_t kStretch = 512;  // scores that are compared with one threshold

  static std::int64_t above(const float* scores, std::int64_t n, float threshold, std::int32_t* places) { return row_kernels().above(scores, n, threshold, places); }
  static std::int64_t above(const double* scores, std::int64_t n, double threshold, std::int32_t* places) {
    std::int64_t found = 0;
    for (std::int64_t i = 0; i < n; ++i)
      if (scores[i] > threshold) places[found++] = static_cast<std::int32_t>(i);
    return found;
  }
  static float greatest(const float* scores, std::int64_t n, std::int64_t number) { return row_kernels().greatest(scores, n, number); }
  static double greatest(const double* scores, std::int64_t n, std::int64_t number) {
    std::vector<double> sorted(scores, scores + n);
    const auto at = sorted.begin() + number - 1;
    std::nth_element(sorted.begin(), at, sorted.end(), std::greater<>());
    return *at;
  }

  void grow(std::size_t size) { scores_.resize(size), index_.resize(size); }
  void select(std::int64_t count) {
    const auto wanted = static_cast<std::size_t>(count);
    if (size_ <= wanted) return;
    threshold_ = greatest(scores_.data(), static_cast<std::int64_t>(size_), count);
    keep([&](std::size_t i) { return scores_[i] >= threshold_; });
    if (size_ == wanted) return;
    // Of those that equal the last one, too many.
    std::vector<std::int64_t> equal;
    for (std::size_t i = 0; i < size_; ++i)
      if (scores_[i] == threshold_) equal.push_back(index_[i]);
    const auto last = equal.end() - static_cast<std::ptrdiff_t>(size_ - wanted) - 1;
    std::nth_element(equal.begin(), last, equal.end());
    keep([&](std::size_t i) { return scores_[i] > threshold_ || index_[i] <= *last; });
  }
  template <typename Kept>
  void keep(const Kept& is_kept) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < size_; ++i) {  // without a branch, that would be taken half the time
      const bool stays = is_kept(i);
      scores_[kept] = scores_[i], index_[kept] = index_[i];
      kept += stays;
    }
    size_ = kept;
  }

  Real threshold_ = kLowest<Real>;
  std::vector<Real> scores_;  // the first size_ of them, and of index_
  std::vector<std::int64_t> index_;
  std::size_t size_ = 0;
};

}  // namespace uio::kernels
