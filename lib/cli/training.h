// What the options of uio-train-step must have in common, beyond the range of each.
#pragma once

#include <string>

#include "cli/settings.h"

namespace uio::cli {

// Throws Error{kUsage} for options that contradict each other or mean nothing without another.
void check_training(const Settings& settings);
// The same for options that shape a fresh adapter, when `adapter` (after the environment was asked) is none.
void check_shape(const Settings& settings, const std::string& adapter);

}  // namespace uio::cli
