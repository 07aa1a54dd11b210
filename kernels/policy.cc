#include "kernels/policy.h"

#include <atomic>

namespace uio::kernels {
namespace {
std::atomic<bool> reference_forced{false};
}

void force_reference(bool on) { reference_forced = on; }
bool is_reference_forced() { return reference_forced; }

bool cpu_has_bf16_products() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace uio::kernels
