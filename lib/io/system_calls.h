// Every call that lib/io makes to the operating system about files, in one table, so that a test can make the n-th one fail. (What
// goes through std::filesystem, to make and list folders and to resolve names, is not in it; tests/faults reaches that too.)
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cerrno>
#include <cstddef>

namespace uio {

// Each member means what the call of that name means: -1 (MAP_FAILED for mmap) and errno on failure.
struct SystemCalls {
  int (*open)(const char* path, int flags, mode_t mode);
  ssize_t (*read)(int file, void* buffer, std::size_t size);
  ssize_t (*write)(int file, const void* buffer, std::size_t size);
  int (*close)(int file);
  int (*duplicate)(int file);
  int (*stat)(const char* path, struct stat* status);
  int (*fstat)(int file, struct stat* status);
  int (*access)(const char* path, int mode);
  int (*fchmod)(int file, mode_t mode);
  int (*fsync)(int file);
  int (*linkat)(int from_folder, const char* from, int to_folder, const char* to, int flags);
  int (*rename)(const char* from, const char* to);
  int (*unlink)(const char* path);
  int (*flock)(int file, int operation);
  int (*futimens)(int file, const struct timespec times[2]);
  void* (*mmap)(void* address, std::size_t size, int protection, int flags, int file, off_t offset);
  ssize_t (*pread)(int file, void* buffer, std::size_t size, off_t offset);
};

// The table in use; the kernel's until a test replaces members. Not for use by several threads while it is changed.
SystemCalls& system_calls();

// The result of `call`, made again as long as a signal interrupts it. Not for close, which has closed even then.
template <typename Call>
auto retried(const Call& call) {
  for (;;) {
    const auto result = call();
    if (result != -1 || errno != EINTR) return result;
  }
}

}  // namespace uio
