#include "kernels/small_product.h"

#include <ATen/Parallel.h>

namespace uio::kernels {
namespace {

constexpr std::int64_t kSmall = std::int64_t{1} << 21;

}  // namespace

OneThreadIfSmall::OneThreadIfSmall(std::int64_t multiplications) {
  if (multiplications >= kSmall || at::in_parallel_region()) return;
  const int threads = at::get_num_threads();
  if (threads == 1) return;
  threads_ = threads;
  at::set_num_threads(1);
}

OneThreadIfSmall::~OneThreadIfSmall() {
  if (threads_ > 0) at::set_num_threads(threads_);
}

}  // namespace uio::kernels
