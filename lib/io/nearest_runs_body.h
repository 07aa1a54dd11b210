// One build of find_nearest(): included once for each instruction set, within a namespace, with UIO_RUNS the number of runs in a vector of it.

using Doubles = double __attribute__((vector_size(sizeof(double) * UIO_RUNS)));
using Longs = std::int64_t __attribute__((vector_size(sizeof(std::int64_t) * UIO_RUNS)));

inline void load(const double* from, Doubles& to) { __builtin_memcpy(&to, from, sizeof(to)); }
inline void round(const Doubles& x, const Doubles& most, Doubles& to) {
  const Doubles whole = (x + kRounder) - kRounder, capped = whole > most ? most : whole;
  to = capped < -most ? -most : capped;
}

void find_nearest(Runs& runs, const Kind& kind, const Exponents& exponents) {
  double largest[kSideBySide], zeros[kSideBySide];  // zeros: the sum of squares that numbers of 0 have
  for (std::size_t at = 0; at < kSideBySide; at += UIO_RUNS) {
    Doubles size_most = {}, squares = {}, x;
    for (std::size_t i = 0; i < kRun; ++i) {
      load(runs.items[i] + at, x);
      const Doubles size = x < 0 ? -x : x;
      size_most = size > size_most ? size : size_most;
      squares += x * x;
    }
    __builtin_memcpy(largest + at, &size_most, sizeof(size_most));
    __builtin_memcpy(zeros + at, &squares, sizeof(squares));
  }
  const Tried tried = scales_for(largest, kind, exponents);
  const Doubles most = Doubles{} + kind.greatest;
  for (std::size_t at = 0; at < kSideBySide; at += UIO_RUNS) {
    Longs best = Longs{} - 1;
    Doubles x, scale, number, least_squares, best_scale = Doubles{} + 1;
    load(zeros + at, least_squares);
    for (std::size_t t = 0; t < tried.most; ++t) {
      load(tried.scales[t] + at, scale);
      Doubles squares = {};
      for (std::size_t i = 0; i < kRun; ++i) {
        load(runs.items[i] + at, x);
        round(x / scale, most, number);
        const Doubles difference = x - number * scale;
        squares += difference * difference;
      }
      const Longs is_nearer = squares < least_squares;
      least_squares = is_nearer ? squares : least_squares;
      best_scale = is_nearer ? scale : best_scale;
      best = is_nearer ? Longs{} + static_cast<std::int64_t>(t) : best;
    }
    for (std::size_t lane = 0; lane < UIO_RUNS; ++lane) {
      const std::int64_t t = best[lane];
      runs.exponent[at + lane] = t >= 0 ? tried.exponents[t][at + lane] : 0;
      runs.step[at + lane] = t >= 0 ? tried.steps[t][at + lane] : 0;
    }
    for (std::size_t i = 0; i < kRun; ++i) {
      load(runs.items[i] + at, x);
      round(x / best_scale, most, number);
      number = best >= 0 ? number : Doubles{};
      for (std::size_t lane = 0; lane < UIO_RUNS; ++lane) runs.numbers[i][at + lane] = static_cast<std::int8_t>(number[lane]);
    }
  }
}

#undef UIO_RUNS
