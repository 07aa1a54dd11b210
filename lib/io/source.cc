// Reading: files, standard input and bytes in memory as sources.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

#include "io/descriptor.h"
#include "io/file.h"
#include "io/system_calls.h"

namespace uio {
namespace {

constexpr std::size_t kBufferBytes = 64 * 1024;

class FileSource : public Source {
 public:
  FileSource(Descriptor file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}

  std::size_t read(std::span<std::byte> buffer) override {
    if (buffer.empty()) return 0;
    if (begin_ == end_) {
      // Large requests go past the buffer: no byte is copied twice.
      if (buffer.size() >= kBufferBytes) return read_some(file_.number(), buffer, name_);
      buffer_.resize(kBufferBytes);
      begin_ = 0;
      end_ = read_some(file_.number(), buffer_, name_);
    }
    const std::size_t count = std::min(buffer.size(), end_ - begin_);
    std::memcpy(buffer.data(), buffer_.data() + begin_, count);
    begin_ += count;
    return count;
  }
  const std::string& name() const override { return name_; }

 private:
  Descriptor file_;
  std::string name_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0, end_ = 0;
};

class MemorySource : public Source {
 public:
  MemorySource(std::span<const std::byte> bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {}

  std::size_t read(std::span<std::byte> buffer) override {
    const std::size_t count = std::min(buffer.size(), bytes_.size());
    if (count != 0) std::memcpy(buffer.data(), bytes_.data(), count);
    bytes_ = bytes_.subspan(count);
    return count;
  }
  const std::string& name() const override { return name_; }

 private:
  std::span<const std::byte> bytes_;
  std::string name_;
};

}  // namespace

std::size_t read_fully(Source& source, std::span<std::byte> buffer) {
  std::size_t size = 0;
  while (size < buffer.size()) {
    const std::size_t count = source.read(buffer.subspan(size));
    if (count == 0) break;
    size += count;
  }
  return size;
}

std::string read_all(Source& source, std::size_t limit) {
  std::string text;
  for (;;) {
    const std::size_t size = text.size();
    text.resize(size + kBufferBytes);
    const std::size_t count = read_fully(source, std::as_writable_bytes(std::span(text).subspan(size)));
    text.resize(size + count);
    if (text.size() > limit) {
      throw Error(ErrorKind::kData, "cannot read", source.name(), "is longer than " + std::to_string(limit) + " bytes");
    }
    if (count < kBufferBytes) return text;
  }
}

std::unique_ptr<Source> open_source(const std::string& path) {
  // Standard input is duplicated, so that closing a source never closes it for the rest of the program.
  Descriptor file =
      path == "-" ? Descriptor(retried([] { return system_calls().duplicate(STDIN_FILENO); })) : open_descriptor(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (!file.is_open()) throw io_error("cannot read", path, errno);
  refuse_directory(file.number(), "cannot read", path);
  return std::make_unique<FileSource>(std::move(file), path);
}

std::string file_identity(const std::string& path) {
  struct stat status;
  if (path == "-" || retried([&] { return system_calls().stat(path.c_str(), &status); }) != 0 || !S_ISREG(status.st_mode)) return {};
  std::string identity;
  for (const auto number : {static_cast<std::uint64_t>(status.st_dev), static_cast<std::uint64_t>(status.st_ino), static_cast<std::uint64_t>(status.st_size),
                            static_cast<std::uint64_t>(status.st_mtim.tv_sec), static_cast<std::uint64_t>(status.st_mtim.tv_nsec)})
    identity += std::to_string(number) + " ";
  return identity;
}

std::unique_ptr<Source> memory_source(std::span<const std::byte> bytes, std::string name) {
  return std::make_unique<MemorySource>(bytes, std::move(name));
}

PeekSource::PeekSource(std::unique_ptr<Source> inner) : inner_(std::move(inner)) {}

std::size_t PeekSource::read(std::span<std::byte> buffer) {
  if (begin_ == end_) return inner_->read(buffer);
  const std::size_t count = std::min(buffer.size(), end_ - begin_);
  std::memcpy(buffer.data(), buffer_ + begin_, count);
  begin_ += count;
  return count;
}

const std::string& PeekSource::name() const { return inner_->name(); }

std::span<const std::byte> PeekSource::peek(std::size_t size) {
  size = std::min(size, sizeof buffer_);
  if (end_ - begin_ < size) {
    std::memmove(buffer_, buffer_ + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    end_ += read_fully(*inner_, std::span(buffer_).subspan(end_, size - end_));
  }
  return {buffer_ + begin_, std::min(size, end_ - begin_)};
}

}  // namespace uio
