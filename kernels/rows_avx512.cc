// The row kernels for avx512: see rows_body.h.
#define UIO_LANES 16
#define UIO_ROWS_NAME "avx512"
#include "kernels/rows_body.h"

namespace uio::kernels {

const RowKernels* avx512_row_kernels() { return &kKernels; }

}  // namespace uio::kernels
