// A decoder layer for few rows as threads compute it together: every thread goes through the same phases, computes what is short (norms, sums) for itself, takes
// shares of the products, and waits for the others only where it reads what they wrote. Nothing that another thread may still read is written twice, so that one
// which comes late finds its work done and does no harm.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/few_row_layer.h"
#include "kernels/few_rows.h"

namespace uio::kernels {

inline std::unique_ptr<float[]> floats(std::int64_t count) { return std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(count)); }

// What an op would have kept in bf16.
void round_if(at::ScalarType computed, float* values, std::int64_t count);
// The norm of each row of x [R, n] with weights [n]; out may be x.
void norm_rows(const float* x, std::int64_t rows, const at::Tensor& norm, double epsilon, at::ScalarType computed, float* out);
// The norm of x [R, D], as the products after it read it. normed: [R, D], overwritten.
void set_normed(const float* x, std::int64_t rows, const at::Tensor& norm, double epsilon, at::ScalarType computed, float* normed, RowInput& input);

// What follows attention: see finish_few_rows.
class FinishPhases {
 public:
  // One thread's scratch, for layers of the same sizes and dtype.
  struct Member {
    // index: which of the threads.
    Member(const FeedForward& layer, std::int64_t rows, std::int64_t index);
    std::int64_t index;
    RowInput attended, normed, active;
    std::unique_ptr<float[]> middle, short_rows;  // [R, D]
  };

  // members: threads that may come. `layer` is that of the caller.
  FinishPhases(const FeedForward& layer, std::int64_t rows, at::ScalarType computed, std::int64_t members);
  // Threads that the work of a layer is worth.
  static std::int64_t worth(const FeedForward& layer);
  // Asks for what a member reads first.
  void warm(std::int64_t member) const { output_.warm(member); }
  // What each thread calls. x [R, D] and attended [R, H·d], complete; out [R, D] is that when wait() returns.
  void run(const float* x, const float* attended, float* out, Member& mine);
  void wait() const { down_.wait(); }

 private:
  const FeedForward& layer_;
  std::int64_t rows_;
  at::ScalarType computed_;
  std::unique_ptr<float[]> found_, gate_, up_;  // [R, D], [R, F], [R, F]
  Shares output_, wide_, down_;
};

}  // namespace uio::kernels
