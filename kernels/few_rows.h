// How a product of few rows is shared out: weights read once, in blocks of rows that stay in cache for the next row of x.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <span>
#include <vector>

namespace uio::kernels {

// Each product [rows, out] with its bias [out] added in place, where there is one.
inline std::vector<at::Tensor> with_biases(std::vector<at::Tensor> products, std::span<const at::Tensor> biases) {
  for (std::size_t i = 0; i < products.size(); ++i)
    if (biases[i].defined()) products[i].add_(biases[i]);
  return products;
}

// Calls visit(which, first, count) for blocks of at most 16 rows of several weights, `outs` rows each, as if they lay end to end: one
// fork and join of the threads for all. in: numbers of a row. A block's bounds do not depend on the number of threads.
// Threads take their shares as they come, ever smaller ones (guided self-scheduling): the read rate of a core is seldom that of the next one, and with
// halves cut beforehand a token waits for the slower at every product.
template <typename Visit>
void for_each_block(std::span<const std::int64_t> outs, std::int64_t in, const Visit& visit) {
  constexpr std::int64_t kRows = 16, kLeast = 1 << 15;  // least: numbers that are worth a thread
  std::int64_t blocks = 0;
  for (const std::int64_t out : outs) blocks += (out + kRows - 1) / kRows;
  const auto visit_blocks = [&](std::int64_t begin, std::int64_t end) {
    std::int64_t before = 0;  // blocks of the weights before
    for (std::size_t which = 0; which < outs.size() && before < end; ++which) {
      const std::int64_t here = (outs[which] + kRows - 1) / kRows;
      for (std::int64_t block = std::max<std::int64_t>(begin - before, 0); block < std::min(end - before, here); ++block)
        visit(which, block * kRows, std::min(kRows, outs[which] - block * kRows));
      before += here;
    }
  };
  const std::int64_t threads = std::min<std::int64_t>(at::get_num_threads(), blocks * kRows * in / kLeast);
  if (threads < 2 || at::in_parallel_region()) return visit_blocks(0, blocks);
  std::atomic<std::int64_t> next = 0;
  at::parallel_for(0, threads, 1, [&](std::int64_t, std::int64_t) {
    for (std::int64_t begin = next.load(), end; begin < blocks;) {
      end = begin + std::max<std::int64_t>(1, (blocks - begin) / (2 * threads));
      if (!next.compare_exchange_weak(begin, end)) continue;
      visit_blocks(begin, end);
      begin = next.load();
    }
  });
}

}  // namespace uio::kernels
