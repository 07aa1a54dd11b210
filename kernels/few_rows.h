// How a product of few rows is shared out: weights read once, in blocks of rows that stay in cache for the next row of x.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <span>

namespace uio::kernels {

// Calls visit(which, first, count) for blocks of at most 16 rows of several weights, `outs` rows each, as if they lay end to end: one
// fork and join of the threads for all. in: numbers of a row. A block's bounds do not depend on the number of threads.
template <typename Visit>
void for_each_block(std::span<const std::int64_t> outs, std::int64_t in, const Visit& visit) {
  constexpr std::int64_t kRows = 16, kLeast = 1 << 15;  // least: numbers that are worth a thread
  std::int64_t blocks = 0;
  for (const std::int64_t out : outs) blocks += (out + kRows - 1) / kRows;
  const std::int64_t grain = std::max<std::int64_t>(1, kLeast / std::max<std::int64_t>(in * kRows, 1));
  at::parallel_for(0, blocks, grain, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t before = 0;  // blocks of the weights before
    for (std::size_t which = 0; which < outs.size() && before < end; ++which) {
      const std::int64_t here = (outs[which] + kRows - 1) / kRows;
      for (std::int64_t block = std::max<std::int64_t>(begin - before, 0); block < std::min(end - before, here); ++block)
        visit(which, block * kRows, std::min(kRows, outs[which] - block * kRows));
      before += here;
    }
  });
}

}  // namespace uio::kernels
