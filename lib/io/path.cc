#include "io/path.h"

#include <cerrno>

#include "io/descriptor.h"
#include "io/system_calls.h"

namespace uio {

bool path_exists(const std::string& path) {
  struct stat status;
  if (retried([&] { return system_calls().stat(path.c_str(), &status); }) == 0) return true;
  if (errno != ENOENT && errno != ENOTDIR) throw io_error("cannot read", path, errno);
  return false;
}

}  // namespace uio
