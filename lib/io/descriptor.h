// A file descriptor that closes itself, and the calls that retry: what sources, sinks and maps share.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <span>
#include <string>

#include "base/error.h"

namespace uio {

// The operating system's words for `error_number`, in the style of our messages ("no space left on device").
std::string system_reason(int error_number);
// Error{kIo}: `what: 'name': reason` with the reason of `error_number`.
Error io_error(const char* what, const std::string& name, int error_number);

// Owns a descriptor; -1 is none.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  int number() const { return number_; }
  bool is_open() const { return number_ >= 0; }
  // Closes it now; the result is that of close(2), errno set.
  int close();

 private:
  int number_ = -1;
};

// open(2), retried on EINTR; a Descriptor that is not open on failure, errno set.
Descriptor open_descriptor(const std::string& path, int flags, unsigned mode = 0);
// read(2), retried on EINTR. Throws Error{kIo} with `name`.
std::size_t read_some(int file, std::span<std::byte> buffer, const std::string& name);
// write(2) until all is written, retried on EINTR. Throws Error{kIo} with `name`. A reader that went away ends the process by
// SIGPIPE, also where the parent had that signal ignored: programs in a pipe are expected to go quietly.
void write_all(int file, std::span<const std::byte> bytes, const std::string& name);
// fstat(2), retried on EINTR. Throws Error{kIo}: `what: 'name': reason`.
struct stat status_of(int file, const char* what, const std::string& name);
// Throws Error{kIo} when `file` is a directory.
void refuse_directory(int file, const char* what, const std::string& name);

}  // namespace uio
