// Matrix products of one thread: for loops over blocks that themselves run in parallel, so that what a block gives does not
// depend on the number of threads.
#pragma once

#include <cstdint>

// BLAS as libtorch_cpu exports it (MKL; Fortran's interface: by columns): no second BLAS in the process.
extern "C" int MKL_Set_Num_Threads_Local(int threads);
extern "C" void sgemm_(const char* transpose_a, const char* transpose_b, const int* m, const int* n, const int* k,
                       const float* alpha, const float* a, const int* lda, const float* b, const int* ldb, const float* beta,
                       float* c, const int* ldc);

namespace uio::kernels {

// Products of this thread alone for the life of this object: MKL need not look for threads at every block.
class SequentialProducts {
 public:
  SequentialProducts() : before_(MKL_Set_Num_Threads_Local(1)) {}
  ~SequentialProducts() { MKL_Set_Num_Threads_Local(before_); }
  SequentialProducts(const SequentialProducts&) = delete;
  SequentialProducts& operator=(const SequentialProducts&) = delete;

 private:
  int before_;
};

// A matrix by rows; `stride` elements from one row to the next. Factors may be read as their transpose.
struct Factor {
  const float* data;
  std::int64_t stride;
  bool transposed = false;
};

// out [m, n] = factor · a [m, k] b [k, n] + keep · out. Strides are at least a row's length, also of a matrix of one row.
inline void multiply(std::int64_t m, std::int64_t n, std::int64_t k, float factor, Factor a, Factor b, float keep, float* out,
                     std::int64_t stride) {
  // By columns every matrix is its transpose: outᵀ = bᵀ aᵀ.
  const int rows = static_cast<int>(n), columns = static_cast<int>(m), inner = static_cast<int>(k),
            lda = static_cast<int>(b.stride), ldb = static_cast<int>(a.stride), ldc = static_cast<int>(stride);
  sgemm_(b.transposed ? "T" : "N", a.transposed ? "T" : "N", &rows, &columns, &inner, &factor, b.data, &lda, a.data, &ldb,
         &keep, out, &ldc);
}

}  // namespace uio::kernels
