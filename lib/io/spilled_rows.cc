#include "io/spilled_rows.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/error.h"
#include "io/system_calls.h"

namespace uio {
namespace {

constexpr const char* kCannotWrite = "cannot keep memory in";

Descriptor open_nameless(const std::string& directory) {
  constexpr int kFlags = O_RDWR | O_CLOEXEC;
  Descriptor file = open_descriptor(directory, O_TMPFILE | O_EXCL | kFlags, 0600);
  if (file.is_open()) return file;
  if (errno != EOPNOTSUPP && errno != EISDIR) throw io_error(kCannotWrite, directory, errno);
  // A file system without O_TMPFILE, or a kernel: the name is taken away at once.
  for (unsigned number = 0;; ++number) {
    const std::string name = directory + "/.uio-memory-" + std::to_string(getpid()) + "-" + std::to_string(number);
    file = open_descriptor(name, O_CREAT | O_EXCL | kFlags, 0600);
    if (!file.is_open() && errno == EEXIST) continue;
    if (!file.is_open() || retried([&] { return system_calls().unlink(name.c_str()); }) != 0) throw io_error(kCannotWrite, directory, errno);
    return file;
  }
}

}  // namespace

SpilledRows::SpilledRows(const std::string& directory, const Shape& shape, std::int64_t stretch_bytes)
    : directory_(directory), file_(open_nameless(directory)), shape_(shape) {
  const std::uint64_t row = 2 * static_cast<std::uint64_t>(shape.layers * shape.matrices) * row_bytes();
  stretch_ = static_cast<std::int64_t>(std::bit_floor(std::max<std::uint64_t>(1, static_cast<std::uint64_t>(stretch_bytes) / row)));
}

void SpilledRows::write(std::span<const std::byte> keys, std::span<const std::byte> values) {
  const auto bytes = static_cast<std::uint64_t>(shape_.matrices * stretch_) * row_bytes();
  if (keys.size() != bytes || values.size() != bytes) throw Error(ErrorKind::kInternal, kCannotWrite, directory_, "a stretch of another size");
  try {
    write_all(file_.number(), keys, directory_);
    write_all(file_.number(), values, directory_);
  } catch (const Error& error) {
    throw Error(error.kind(), kCannotWrite, directory_, error.reason());
  }
  if (++layers_written_ == shape_.layers) count_ += stretch_, layers_written_ = 0;
}

void SpilledRows::copy(Side side, std::int64_t layer, std::int64_t matrix, std::int64_t begin, std::int64_t count, std::span<std::byte> items) const {
  const std::uint64_t row = row_bytes(), part = static_cast<std::uint64_t>(shape_.matrices * stretch_) * row;  // keys or values of a layer
  while (count > 0) {
    const std::int64_t within = begin % stretch_, some = std::min(count, stretch_ - within);
    const std::uint64_t parts = static_cast<std::uint64_t>((begin / stretch_ * shape_.layers + layer) * 2 + (side == Side::kKeys ? 0 : 1));
    std::uint64_t at = parts * part + static_cast<std::uint64_t>(matrix * stretch_ + within) * row;
    for (std::span<std::byte> rest = items.first(static_cast<std::size_t>(some) * row); !rest.empty();) {
      const ssize_t got = retried([&] { return system_calls().pread(file_.number(), rest.data(), rest.size(), static_cast<off_t>(at)); });
      if (got < 0) throw io_error("cannot read memory kept in", directory_, errno);
      if (got == 0) throw Error(ErrorKind::kIo, "cannot read memory kept in", directory_, "the file ends early");
      rest = rest.subspan(static_cast<std::size_t>(got));
      at += static_cast<std::uint64_t>(got);
    }
    items = items.subspan(static_cast<std::size_t>(some) * row);
    begin += some;
    count -= some;
  }
}

}  // namespace uio
