// Whole numbers and the scale that they share for runs of items: a thread a run, by the arithmetic of lib/io/nearest_runs_body.h and with its bits.
#pragma once

#include "kernels/cuda/api.h"
#include "kernels/cuda/team.h"

namespace uio::kernels::cuda {

// sum + x · x, rounded twice.
UIO_DEVICE double plus_square(double sum, double x) {
#ifdef __CUDA_ARCH__
  return __dadd_rn(sum, __dmul_rn(x, x));
#else
  return sum + x * x;
#endif
}

UIO_DEVICE double nearest_whole(double x, double most) {
  constexpr double kRounder = 6755399441055744.0;  // 1.5 · 2^52: added and taken away, it leaves a whole number, halves to the even one
  const double whole = (x + kRounder) - kRounder;
  return whole > most ? most : whole < -most ? -most : whole;
}

// How a job's items fall into runs.
struct RunsOfJob {
  UIO_DEVICE explicit RunsOfJob(const NearestRunsJob& job)
      : lines(job.is_down ? job.columns : job.rows), length(job.is_down ? job.rows : job.columns), of_line((length + kItemsOfRun - 1) / kItemsOfRun),
        all(job.matrices * lines * of_line) {}
  std::int64_t lines, length, of_line, all;
};

template <typename T>
struct NearestRun {
  NearestRunsJob job;

  template <typename Team>
  UIO_DEVICE void operator()(Team& team, std::int64_t block, std::int64_t blocks) const {
    const RunsOfJob runs(job);
    const std::int64_t lines = runs.lines, of_line = runs.of_line;
    for (std::int64_t at = block * team.size() + team.index(); at < runs.all; at += blocks * team.size()) {
      // Neighbours read what lies side by side where runs go down.
      const std::int64_t matrix = at / (lines * of_line), line = job.is_down ? at % lines : at / of_line % lines,
                         run = job.is_down ? at / lines % of_line : at % of_line, begin = run * kItemsOfRun,
                         first = matrix * job.rows * job.columns + (job.is_down ? begin * job.columns + line : line * job.columns + begin);
      find(first, job.is_down ? job.columns : 1, runs.length - begin < kItemsOfRun ? runs.length - begin : kItemsOfRun,
           (matrix * lines + line) * of_line + run);
    }
  }

 private:
  UIO_DEVICE void find(std::int64_t first, std::int64_t step, std::int64_t count, std::int64_t run) const {
    double items[kItemsOfRun], largest = 0, least_squares = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      items[i] = static_cast<double>(widen(static_cast<const T*>(job.items)[first + i * step]));
      const double size = items[i] < 0 ? -items[i] : items[i];
      largest = size > largest ? size : largest;
      least_squares = plus_square(least_squares, items[i]);  // of numbers that are all 0
    }
    const double most = job.greatest;
    int best = -1;
    if (largest > 0) {
      const double from = job.least_share * largest / most, highest = 2 * largest / most, to = highest > job.floor ? highest : job.floor;
      int low = 0;
      for (int high = job.count; low < high;) {  // the first scale from `from` on
        const int middle = (low + high) / 2;
        if (job.scales[middle] < from) low = middle + 1;
        else high = middle;
      }
      for (int tried = low; tried < job.count && tried - low < job.most_tried && job.scales[tried] <= to; ++tried) {
        const double scale = job.scales[tried];
        double squares = 0;
        for (std::int64_t i = 0; i < count; ++i) squares = plus_square(squares, items[i] - nearest_whole(items[i] / scale, most) * scale);
        if (!(squares < least_squares)) continue;
        least_squares = squares;
        best = tried;
      }
    }
    job.chosen[run] = static_cast<std::int16_t>(best);
    for (std::int64_t i = 0; i < count; ++i)
      job.numbers[first + i * step] = best < 0 ? std::int8_t{0} : static_cast<std::int8_t>(nearest_whole(items[i] / job.scales[best], most));
  }
};

template <typename Launch>
int nearest_runs(const NearestRunsJob& job) {
  const std::int64_t blocks = blocks_for(RunsOfJob(job).all, 4 * Launch::kLanes);
  return job.type == Number::kF32 ? Launch::run(blocks, 4, NearestRun<float>{job}) : Launch::run(blocks, 4, NearestRun<Bf16>{job});
}

}  // namespace uio::kernels::cuda
