// The one place that names the version of the programs.
#pragma once

namespace uio {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace uio
