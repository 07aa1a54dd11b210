// Bytes in and out: the only place that calls read, write, mmap, rename and fsync.
// Sources and sinks are interfaces, so that tests can make the n-th call fail.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace uio {

// Where bytes come from. Not seekable.
class Source {
 public:
  virtual ~Source() = default;
  // Reads at least one byte unless at the end, at most buffer.size(); 0 is the end. Retries EINTR. Throws Error{kIo}.
  virtual std::size_t read(std::span<std::byte> buffer) = 0;
  // The name to print in messages: the path as given, or `-` for standard input.
  virtual const std::string& name() const = 0;
};

// Reads until `buffer` is full or the source ends; returns the number of bytes read.
std::size_t read_fully(Source& source, std::span<std::byte> buffer);
// The whole source as text. Throws Error{kData} beyond `limit` bytes.
std::string read_all(Source& source, std::size_t limit);
// Opens a file for reading; `-` is standard input. Throws Error{kIo} (missing, a directory, no permission).
std::unique_ptr<Source> open_source(const std::string& path);
// What tells one content of a file from the next without reading it: device, inode, size and time of change. Empty for what is
// no regular file (`-`, a pipe) or cannot be looked at.
std::string file_identity(const std::string& path);
// A source over bytes that stay alive as long as it does.
std::unique_ptr<Source> memory_source(std::span<const std::byte> bytes, std::string name);

// A source that lets a caller look at its first bytes before anyone reads them.
class PeekSource : public Source {
 public:
  explicit PeekSource(std::unique_ptr<Source> inner);
  std::size_t read(std::span<std::byte> buffer) override;
  const std::string& name() const override;
  // Up to `size` (≤ 64) bytes from the current position; fewer only at the end.
  std::span<const std::byte> peek(std::size_t size);

 private:
  std::unique_ptr<Source> inner_;
  std::byte buffer_[64];
  std::size_t begin_ = 0, end_ = 0;
};

// Where bytes go. `write` takes all or throws Error{kIo}.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void write(std::span<const std::byte> bytes) = 0;
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }
  // Hands everything written so far to the operating system; a no-op for regular files' buffers until commit.
  virtual void flush() = 0;
  // The same for a regular file too, where it was opened as it is: for lines that people follow while they are made.
  virtual void drain() { flush(); }
  // The output is whole: flush, and for a named file fsync and rename into place. Called once, last. Without it a named
  // file never appears and nothing is left behind, also after kill -9 where the file system has O_TMPFILE, but in the moment of replacing (uio(7)).
  virtual void commit() = 0;
  virtual const std::string& name() const = 0;
};

// Opens `path` for atomic replacement; `-` is standard output (flushed per record unless it is a regular file).
std::unique_ptr<Sink> open_sink(const std::string& path);
// A sink into memory, for tests and for records that are built before they are written.
class MemorySink : public Sink {
 public:
  using Sink::write;
  void write(std::span<const std::byte> bytes) override;
  void flush() override {}
  void commit() override {}
  const std::string& name() const override { return name_; }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_, name_ = "memory";
};

// A file mapped read-only. Movable; the bytes live as long as the object.
class MappedFile {
 public:
  // Throws Error{kIo} when it cannot be opened or mapped.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  // Lets go of the pages that were read: they leave this process's memory, and come again when they are read again.
  void release() const noexcept;

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string path_;
};

// Removes named temporaries of unfinished sinks (file systems without O_TMPFILE). Safe to call in a signal handler.
void remove_unfinished_files() noexcept;

}  // namespace uio
