// Files mapped into memory, read-only.
#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "io/descriptor.h"
#include "io/file.h"
#include "io/mapped_names.h"
#include "io/system_calls.h"

namespace uio {

MappedFile::MappedFile(const std::string& path) : path_(path) {
  // O_NONBLOCK: a named pipe is refused below, not waited for.
  const Descriptor file = open_descriptor(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (!file.is_open()) throw io_error("cannot read", path, errno);
  const struct stat status = status_of(file.number(), "cannot read", path);
  if (S_ISDIR(status.st_mode)) throw io_error("cannot read", path, EISDIR);
  if (!S_ISREG(status.st_mode))
    throw Error(ErrorKind::kIo, "cannot read", path, "is not a regular file, so it cannot be mapped");
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;
  void* address = system_calls().mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.number(), 0);
  if (address == MAP_FAILED) throw io_error("cannot map", path, errno);
  data_ = static_cast<const std::byte*>(address);
  enter_mapped_name(data_, size_, path);
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  leave_mapped_name(data_);
  munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release() const noexcept {
  if (data_ != nullptr) madvise(const_cast<std::byte*>(data_), size_, MADV_DONTNEED);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

}  // namespace uio
