// What the options of uio-score must have in common, beyond the range of each.
#pragma once

#include "cli/settings.h"

namespace uio::cli {

// Whether the task makes its documents, so that there is nothing to read.
bool makes_documents(const ScoreJob& job);
// Throws Error{kUsage} for options and operands that mean nothing for the task.
void check_scoring(const Settings& settings);

}  // namespace uio::cli
