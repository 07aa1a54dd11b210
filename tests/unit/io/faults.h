// Makes the n-th system call of a kind fail, for as long as the object lives.
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "io/system_calls.h"

namespace uio::test {

class Faults {
 public:
  // From now on the `nth` call (from 1) of `name` fails with `error_number`; with kShort, reads and writes move one byte.
  static constexpr int kShort = -1;
  Faults(const char* name, int nth, int error_number) : saved_(system_calls()) {
    current_ = this;
    name_ = name;
    nth_ = nth;
    error_ = error_number;
    system_calls() = {
        [](const char* path, int flags, mode_t mode) { return hit("open") ? -1 : real().open(path, flags, mode); },
        [](int file, void* buffer, std::size_t size) -> ssize_t {
          if (!hit("read")) return real().read(file, buffer, size);
          return current_->error_ == kShort ? real().read(file, buffer, size != 0) : -1;
        },
        [](int file, const void* buffer, std::size_t size) -> ssize_t {
          if (!hit("write")) return real().write(file, buffer, size);
          return current_->error_ == kShort ? real().write(file, buffer, size != 0) : -1;
        },
        // Like the kernel, closes even when it reports a failure.
        [](int file) {
          const int result = real().close(file);
          return hit("close") ? -1 : result;
        },
        [](int file) { return hit("duplicate") ? -1 : real().duplicate(file); },
        [](const char* path, struct stat* status) { return hit("stat") ? -1 : real().stat(path, status); },
        [](int file, struct stat* status) { return hit("fstat") ? -1 : real().fstat(file, status); },
        [](const char* path, int mode) { return hit("access") ? -1 : real().access(path, mode); },
        [](int file, mode_t mode) { return hit("fchmod") ? -1 : real().fchmod(file, mode); },
        [](int file) { return hit("fsync") ? -1 : real().fsync(file); },
        [](int a, const char* from, int b, const char* to, int flags) {
          return hit("linkat") ? -1 : real().linkat(a, from, b, to, flags);
        },
        [](const char* from, const char* to) { return hit("rename") ? -1 : real().rename(from, to); },
        [](const char* path) { return hit("unlink") ? -1 : real().unlink(path); },
        [](int file, int operation) { return hit("flock") ? -1 : real().flock(file, operation); },
        [](int file, const struct timespec times[2]) { return hit("futimens") ? -1 : real().futimens(file, times); },
        [](void* address, std::size_t size, int protection, int flags, int file, off_t offset) {
          return hit("mmap") ? MAP_FAILED : real().mmap(address, size, protection, flags, file, offset);
        },
        [](int file, void* buffer, std::size_t size, off_t offset) -> ssize_t {
          if (!hit("pread")) return real().pread(file, buffer, size, offset);
          return current_->error_ == kShort ? real().pread(file, buffer, size != 0, offset) : -1;
        },
    };
  }
  ~Faults() {
    system_calls() = saved_;
    current_ = nullptr;
  }
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  // True if the call that was to fail came.
  bool was_hit() const { return count_ >= nth_; }

 private:
  static const SystemCalls& real() { return current_->saved_; }
  static bool hit(const char* name) {
    if (std::strcmp(current_->name_, name) != 0 || ++current_->count_ != current_->nth_) return false;
    errno = current_->error_;
    return true;
  }

  static inline Faults* current_ = nullptr;
  SystemCalls saved_;
  const char* name_;
  int nth_ = 0, error_ = 0, count_ = 0;
};

}  // namespace uio::test
