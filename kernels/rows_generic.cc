// The row kernels for generic: see rows_body.h.
#define UIO_LANES 4
#define UIO_ROWS_NAME "generic"
#include "kernels/rows_body.h"

namespace uio::kernels {

const RowKernels& generic_row_kernels() { return kKernels; }

}  // namespace uio::kernels
