// The tensor part, loaded when the arguments are right, so that --help and mistakes never wait for LibTorch.
#pragma once

#include <string>

#include "io/jobs.h"

namespace uio::cli {

// The directory of the running program; ends without a slash.
std::string program_directory();

// Loads libuio_core.so once: beside the program's directory as built (../lib), as installed, or where the system looks.
// Throws Error{kInternal} when it is missing or of another version.
const CoreApi& load_core();

}  // namespace uio::cli
