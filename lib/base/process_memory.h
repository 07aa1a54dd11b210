// How much memory this process takes.
#pragma once

#include <cstdint>

namespace uio {

// The greatest resident size so far, bytes.
std::uint64_t peak_bytes();
// The resident size now, bytes; 0 where the system does not tell.
std::uint64_t resident_bytes();
// The size of the heap, free parts of it too, bytes; 0 where the C library does not tell.
std::uint64_t heap_bytes();

}  // namespace uio
