// argv to settings: CLI11 set up from the option table, with the manners of POSIX and of this project.
#pragma once

#include "cli/options.h"

namespace uio::cli {

// Options before or among operands, -abc, -ofile, --output=file, `--`, `-`; the last repetition wins; nothing abbreviated.
// With --help or --version anywhere, mistakes elsewhere do not count.
// Throws Error{kUsage} for everything else that cannot be understood, empty operands included.
Settings parse_arguments(Program program, int argc, const char* const* argv);

}  // namespace uio::cli
