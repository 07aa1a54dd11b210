// Which build a piece of code is of.
#pragma once

#include <string>

namespace uio {

// The linker's build id, in hexadecimal digits, of the program or shared object that holds `address`: a hash of its code and data. Empty where
// it was linked without one.
std::string build_id_of(const void* address);

}  // namespace uio
