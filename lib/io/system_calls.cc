#include "io/system_calls.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>

namespace uio {

SystemCalls& system_calls() {
  static SystemCalls calls = {
      [](const char* path, int flags, mode_t mode) { return ::open(path, flags, mode); },
      ::read,
      ::write,
      ::close,
      // Not below 3, so that a program whose standard streams are closed never puts a file in their place.
      [](int file) { return ::fcntl(file, F_DUPFD_CLOEXEC, 3); },
      ::stat,
      ::fstat,
      ::access,
      ::fchmod,
      ::fsync,
      ::linkat,
      ::rename,
      ::unlink,
      ::flock,
      ::futimens,
      ::mmap,
      ::pread,
  };
  return calls;
}

}  // namespace uio
