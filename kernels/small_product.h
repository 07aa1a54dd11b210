// Products that are too small to be shared out among threads.
#pragma once

#include <cstdint>

namespace uio::kernels {

// While it lives, LibTorch and MKL compute on one thread if a product has fewer than 2^21 multiplications (20 to 50 microseconds): so
// few rows and columns a thread are summed in another order by each number of threads, and memories would differ in their last bits.
// For the thread that programs compute on; not nested.
class OneThreadIfSmall {
 public:
  explicit OneThreadIfSmall(std::int64_t multiplications);
  ~OneThreadIfSmall();
  OneThreadIfSmall(const OneThreadIfSmall&) = delete;

 private:
  int threads_ = 0;  // to go back to; 0: nothing was changed
};

}  // namespace uio::kernels
