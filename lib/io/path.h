// What lies under a name.
#pragma once

#include <string>

namespace uio {

// Whether there is something of this name, at the end of symbolic links too. Throws Error{kIo} where that cannot be told (no
// permission, a failing disk): what cannot be looked at must not be taken for absent.
bool path_exists(const std::string& path);

}  // namespace uio
