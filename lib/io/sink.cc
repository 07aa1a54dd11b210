// Writing: standard output, devices and pipes as they are; regular files by atomic replacement.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "io/descriptor.h"
#include "io/file.h"
#include "io/prepared_sink.h"
#include "io/system_calls.h"
#include "io/unfinished.h"

namespace uio {
namespace {

constexpr std::size_t kBufferBytes = 64 * 1024;

// Collects small writes; large ones go past the buffer.
class BufferedFile {
 public:
  BufferedFile(Descriptor file, std::string name) : file_(std::move(file)), name_(std::move(name)) {
    buffer_.reserve(kBufferBytes);
  }
  void write(std::span<const std::byte> bytes) {
    if (buffer_.size() + bytes.size() > kBufferBytes) drain();
    if (bytes.size() >= kBufferBytes) {
      write_all(file_.number(), bytes, name_);
    } else {
      buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    }
  }
  // What could not be written is given up: it is reported once.
  void drain() {
    const std::vector<std::byte> bytes = std::exchange(buffer_, {});
    write_all(file_.number(), bytes, name_);
    buffer_.reserve(kBufferBytes);
  }
  // Some file systems report a full disk only here.
  void close() {
    drain();
    if (file_.close() != 0) throw io_error("cannot write", name_, errno);
  }
  int number() const { return file_.number(); }
  const std::string& name() const { return name_; }

 private:
  Descriptor file_;
  std::string name_;
  std::vector<std::byte> buffer_;
};

// Standard output, a device or a named pipe: bytes go where they are told, nothing can be taken back.
class DirectSink : public PreparedSink {
 public:
  DirectSink(Descriptor file, const std::string& name) : file_(std::move(file), name) {
    is_regular_ = S_ISREG(status_of(file_.number(), "cannot write", name).st_mode);
  }
  // Without commit the program has failed, but what it wrote before is out: a file gets the same bytes as a pipe.
  ~DirectSink() override {
    try {
      file_.drain();
    } catch (const Error&) {
    }
  }
  using Sink::write;
  void write(std::span<const std::byte> bytes) override { file_.write(bytes); }
  // Whoever reads a pipe or a terminal should see a record as soon as it is whole; a regular file can wait.
  void flush() override {
    if (!is_regular_) file_.drain();
  }
  void drain() override { file_.drain(); }
  void prepare() override { file_.drain(); }
  void commit() override { file_.close(); }
  const std::string& name() const override { return file_.name(); }

 private:
  BufferedFile file_;
  bool is_regular_ = false;
};

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// A new name beside `target`; unique within this process, and O_EXCL sees to the others.
std::string temporary_name(const std::string& target) {
  static std::atomic<unsigned> counter = 0;
  return folder_of(target) + "/.uio-" + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".tmp";
}

// fsync(2), retried on EINTR; errno set. The errors of a file system that has none for this kind of file are not failures to keep
// the bytes.
bool sync_fails(int file) {
  return retried([&] { return system_calls().fsync(file); }) != 0 && errno != EINVAL && errno != ENOTSUP && errno != EROFS;
}

// access(2), retried on EINTR; errno set.
bool may(int mode, const std::string& path) {
  return retried([&] { return system_calls().access(path.c_str(), mode); }) == 0;
}

// A regular file that appears under its name only when it is whole.
class AtomicSink : public PreparedSink {
 public:
  // `target` has no symbolic link at its end; `mode` is that of the file to be replaced, if there is one.
  AtomicSink(std::string target, const std::string& name, std::optional<mode_t> mode)
      : target_(std::move(target)), file_(open_temporary(name), name) {
    if (mode && retried([&] { return system_calls().fchmod(file_.number(), *mode & 07777); }) != 0) throw io_error("cannot write", name, errno);
  }
  using Sink::write;
  void write(std::span<const std::byte> bytes) override { file_.write(bytes); }
  void flush() override {}
  const std::string& name() const override { return file_.name(); }

  void prepare() override {
    if (is_prepared_) return;
    file_.drain();
    if (sync_fails(file_.number())) throw io_error("cannot write", name(), errno);
    if (!temporary_) link_nameless();
    file_.close();
    is_prepared_ = true;
  }

  void commit() override {
    prepare();
    if (retried([&] { return system_calls().rename(temporary_name_.c_str(), target_.c_str()); }) != 0) throw io_error("cannot write", name(), errno);
    temporary_->release();
    sync_folder();
  }

 private:
  Descriptor open_temporary(const std::string& name) {
    // Without a name nothing can be left behind, not even by kill -9. It takes /proc to give it a name later.
    Descriptor nameless = open_descriptor(folder_of(target_), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    if (nameless.is_open() && may(F_OK, proc_name(nameless.number()))) return nameless;
    for (;;) {
      temporary_name_ = temporary_name(target_);
      Descriptor named = open_descriptor(temporary_name_, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
      if (named.is_open()) {
        temporary_.emplace(temporary_name_);
        return named;
      }
      if (errno != EEXIST) throw io_error("cannot write", name, errno);
    }
  }

  static std::string proc_name(int number) { return "/proc/self/fd/" + std::to_string(number); }

  // linkat cannot replace a file, so the name is a temporary one for the moment until rename.
  void link_nameless() {
    for (;;) {
      temporary_name_ = temporary_name(target_);
      const std::string from = proc_name(file_.number());
      if (retried([&] { return system_calls().linkat(AT_FDCWD, from.c_str(), AT_FDCWD, temporary_name_.c_str(), AT_SYMLINK_FOLLOW); }) == 0) break;
      if (errno != EEXIST) throw io_error("cannot write", name(), errno);
    }
    temporary_.emplace(temporary_name_);
  }

  // The new name must survive a crash as well. A folder that may be searched but not read cannot be synced: no harm.
  void sync_folder() {
    const Descriptor folder = open_descriptor(folder_of(target_), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!folder.is_open() && errno == EACCES) return;
    if (!folder.is_open() || sync_fails(folder.number())) throw io_error("cannot write", name(), errno);
  }

  std::string target_;
  std::string temporary_name_;
  std::optional<UnfinishedFile> temporary_;
  BufferedFile file_;
  bool is_prepared_ = false;
};

}  // namespace

std::unique_ptr<Sink> open_sink(const std::string& path) {
  if (path == "-") {
    Descriptor file(retried([] { return system_calls().duplicate(STDOUT_FILENO); }));
    if (!file.is_open()) throw io_error("cannot write", path, errno);
    return std::make_unique<DirectSink>(std::move(file), path);
  }
  return open_file_sink(path);
}

std::unique_ptr<PreparedSink> open_file_sink(const std::string& path) {
  struct stat status;
  if (retried([&] { return system_calls().stat(path.c_str(), &status); }) != 0) {
    if (errno != ENOENT) throw io_error("cannot write", path, errno);
    return std::make_unique<AtomicSink>(path, path, std::nullopt);
  }
  if (S_ISDIR(status.st_mode)) throw io_error("cannot write", path, EISDIR);
  if (!S_ISREG(status.st_mode)) {
    Descriptor file = open_descriptor(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (!file.is_open()) throw io_error("cannot write", path, errno);
    return std::make_unique<DirectSink>(std::move(file), path);
  }
  // Renaming asks the folder only; a file that is write-protected is not ours to replace.
  if (!may(W_OK, path)) throw io_error("cannot write", path, errno);
  // A symbolic link stays one: the file that it points to is replaced.
  std::error_code error;
  const std::string target = std::filesystem::canonical(path, error).string();
  if (error) throw io_error("cannot write", path, error.value());
  return std::make_unique<AtomicSink>(target, path, status.st_mode);
}

void MemorySink::write(std::span<const std::byte> bytes) {
  bytes_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace uio
