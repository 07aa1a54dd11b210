// The row kernels for avx2: see rows_body.h.
#define UIO_LANES 8
#define UIO_ROWS_NAME "avx2"
#include "kernels/rows_body.h"

namespace uio::kernels {

const RowKernels* avx2_row_kernels() { return &kKernels; }

}  // namespace uio::kernels
