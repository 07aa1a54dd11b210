// Which implementation of the ops runs: the fast one where there is one, or everywhere the plain composition.
#pragma once

namespace uio::kernels {

// UIO_FORCE_REFERENCE=1 asks for the plain compositions, the oracle of the fast ones. Set once, before the first op.
void force_reference(bool on);
bool is_reference_forced();

// True if this CPU multiplies bfloat16 matrices faster than f32 ones (avx512_bf16 or amx_bf16).
bool cpu_has_bf16_products();
// The instruction set of the row kernels in use: "avx512", "avx2" or "generic".
const char* instruction_set();

}  // namespace uio::kernels
