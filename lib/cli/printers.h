// What is printed from the option table: help, the generated part of the manual, completions.
#pragma once

#include <string>

#include "cli/options.h"

namespace uio::cli {

// Examples first, then the options. At most 80 columns where the option's own words allow it.
std::string help_text(Program program);
// First line `name X.Y.Z`, then how it was built.
std::string version_text(Program program);
// The body of the section OPTIONS, mdoc.
std::string manual_options(Program program);
// One file for all programs each.
std::string bash_completion();
std::string zsh_completion();
std::string fish_completion();

}  // namespace uio::cli
