#include "io/descriptor.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "io/file.h"
#include "io/system_calls.h"

namespace uio {
namespace {

// Dies of SIGPIPE with its default action, whatever the parent left it at.
void die_of_broken_pipe() {
  remove_unfinished_files();
  std::signal(SIGPIPE, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  std::raise(SIGPIPE);
}

}  // namespace

std::string system_reason(int error_number) {
  std::string reason = std::strerror(error_number);
  if (!reason.empty() && reason[0] >= 'A' && reason[0] <= 'Z') reason[0] = static_cast<char>(reason[0] - 'A' + 'a');
  return reason;
}

Error io_error(const char* what, const std::string& name, int error_number) {
  return Error(ErrorKind::kIo, what, name, system_reason(error_number));
}

Descriptor::~Descriptor() { close(); }

Descriptor::Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    close();
    number_ = std::exchange(other.number_, -1);
  }
  return *this;
}

int Descriptor::close() {
  if (number_ < 0) return 0;
  // Never retried: Linux has let go of the number even when close reports EINTR.
  const int result = system_calls().close(std::exchange(number_, -1));
  return result < 0 && errno == EINTR ? 0 : result;
}

Descriptor open_descriptor(const std::string& path, int flags, unsigned mode) {
  return Descriptor(retried([&] { return system_calls().open(path.c_str(), flags, mode); }));
}

std::size_t read_some(int file, std::span<std::byte> buffer, const std::string& name) {
  const ssize_t count = retried([&] { return system_calls().read(file, buffer.data(), buffer.size()); });
  if (count < 0) throw io_error("cannot read", name, errno);
  return static_cast<std::size_t>(count);
}

void write_all(int file, std::span<const std::byte> bytes, const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t count = retried([&] { return system_calls().write(file, bytes.data(), bytes.size()); });
    if (count < 0) {
      const int error_number = errno;
      if (error_number == EPIPE) die_of_broken_pipe();
      throw io_error("cannot write", name, error_number);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

struct stat status_of(int file, const char* what, const std::string& name) {
  struct stat status;
  if (retried([&] { return system_calls().fstat(file, &status); }) != 0) throw io_error(what, name, errno);
  return status;
}

void refuse_directory(int file, const char* what, const std::string& name) {
  if (S_ISDIR(status_of(file, what, name).st_mode)) throw io_error(what, name, EISDIR);
}

}  // namespace uio
