#include "search/codes.h"

#include <ATen/ATen.h>

#include "kernels/rows.h"

namespace uio {

WholeRows::WholeRows(const float* rows, std::int64_t count, std::int64_t size) : numbers(static_cast<std::size_t>(count * size)), scales(static_cast<std::size_t>(count)) {
  for (std::int64_t i = 0; i < count; ++i) scales[static_cast<std::size_t>(i)] = kernels::row_kernels().round_i16(rows + i * size, numbers.data() + i * size, size);
}

kernels::Found score_again(const at::Tensor& queries, std::int64_t groups, const kernels::FarRows& rows, const at::Tensor& candidates, std::int64_t begin, std::int64_t count) {
  return kernels::rank_candidates(queries, groups, rows, begin > 0 ? at::where(candidates.ge(0), candidates + begin, candidates) : candidates, count);
}

}  // namespace uio
