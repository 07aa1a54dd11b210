#include "io/cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/endian.h"
#include "base/hash.h"
#include "base/hex.h"
#include "io/descriptor.h"
#include "io/system_calls.h"
#include "io/unfinished.h"

namespace uio {
namespace {

namespace fs = std::filesystem;

constexpr char kKind[] = "uio cache entry\n";  // 16 bytes, a version by being what they are
constexpr std::size_t kHeadBytes = 64, kKindBytes = 16, kKeyBytes = 32, kSizeAt = kKindBytes + kKeyBytes, kChecksumAt = kSizeAt + 8;
constexpr std::uint64_t kShareBeforeTrim = 16;
using Head = std::array<std::byte, kHeadBytes>;

bool is_hex(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

// The head that belongs to these bytes under this key.
Head head_of(const std::string& key, std::span<const std::span<const std::byte>> parts) {
  Head head{};
  std::memcpy(head.data(), kKind, kKindBytes);
  const auto digits = from_hex(key);
  if (!digits || digits->size() != kKeyBytes) throw Error(ErrorKind::kInternal, "no key of a cache", key, "expected 64 hexadecimal digits");
  std::copy(digits->begin(), digits->end(), head.begin() + kKindBytes);
  std::uint64_t size = 0;
  for (const auto& part : parts) size += part.size();
  store_le(head.data() + kSizeAt, size);
  Checksum checksum;
  checksum.add(std::span(head).first(kChecksumAt));
  for (const auto& part : parts) checksum.add(part);
  store_le(head.data() + kChecksumAt, checksum.value());
  return head;
}

// Fills `bytes`; false where the file ends before.
bool read_whole(int file, std::span<std::byte> bytes, const std::string& name) {
  while (!bytes.empty()) {
    const std::size_t count = read_some(file, bytes, name);
    if (count == 0) return false;
    bytes = bytes.subspan(count);
  }
  return true;
}

// flock(2), not waited for, retried on EINTR; errno set.
bool is_locked(int file) {
  return retried([&] { return system_calls().flock(file, LOCK_EX | LOCK_NB); }) == 0;
}

std::string path_of(const std::string& directory, const std::string& key) { return directory + "/" + key.substr(0, 2) + "/" + key.substr(2); }

struct Found {
  bool exists = false;
  std::optional<std::vector<std::byte>> bytes;  // where it is whole
};

// The entry at `path`, marked as used now where `is_used`. Throws Error{kIo} when it cannot be read.
Found read_entry(const std::string& path, const std::string& key, std::uint64_t size, bool is_used) {
  // A named pipe of that name must not hold us up.
  const Descriptor file = open_descriptor(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  if (!file.is_open() && errno == ENOENT) return {};
  if (!file.is_open()) throw io_error("cannot read the cache", path, errno);
  const struct stat status = status_of(file.number(), "cannot read the cache", path);
  Found entry{true, std::nullopt};
  if (!S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) != kHeadBytes + size) return entry;
  Head head;
  std::vector<std::byte> bytes(size);
  const std::span<const std::byte> whole[] = {bytes};
  if (!read_whole(file.number(), head, path) || !read_whole(file.number(), bytes, path) || head != head_of(key, whole)) return entry;
  if (is_used) system_calls().futimens(file.number(), nullptr);  // where that is not allowed, it will go earlier
  entry.bytes = std::move(bytes);
  return entry;
}

}  // namespace

// A file that is being written, locked as long as its process lives. The lock may be had by another process that looks for leftovers
// just when the file was made, and that removes it: then the next name is taken.
class DiskCache::Unfinished {
 public:
  // Not open, and errno set, when no file can be made.
  Unfinished(const std::string& folder, unsigned& counter) {
    for (;;) {
      path_ = folder + "/" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
      file_ = open_descriptor(path_, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
      if (!file_.is_open() && errno == EEXIST) continue;
      if (!file_.is_open()) return;
      // Where a file system has no locks nobody has one, and leftovers stay.
      if (!is_locked(file_.number()) && errno == EWOULDBLOCK) continue;
      struct stat status;
      if (retried([&] { return system_calls().fstat(file_.number(), &status); }) != 0 || status.st_nlink > 0) break;
    }
    name_.emplace(path_);
  }
  int number() const { return file_.number(); }
  bool is_open() const { return file_.is_open(); }
  const std::string& path() const { return path_; }
  // It has its final name, and is no longer removed.
  void release() { name_->release(); }

 private:
  std::string path_;
  Descriptor file_;
  std::optional<UnfinishedFile> name_;
};

DiskCache::DiskCache(std::string directory, std::uint64_t most_bytes, Host& host)
    : directory_(std::move(directory)), most_bytes_(most_bytes), host_(host) {
  std::error_code failed, unknown;
  fs::create_directories(directory_, failed);
  if (!fs::is_directory(directory_, unknown)) throw io_error("cannot make the cache", directory_, failed ? failed.value() : ENOTDIR);
  remove_leftovers();
}

DiskCache::~DiskCache() {
  if (stored_ > 0) trim();
}

void DiskCache::warn_once(const char* what, int error_number) {
  if (!std::exchange(has_warned_, true)) host_.warn(io_error(what, directory_, error_number).what());
}

void DiskCache::remove_leftovers() {
  std::error_code failed;
  for (fs::directory_iterator at(directory_ + "/unfinished", failed), end; !failed && at != end; at.increment(failed)) {
    const std::string name = at->path().filename().string();
    if (name.find_first_not_of("0123456789-") != std::string::npos) continue;
    const Descriptor file = open_descriptor(at->path().string(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (file.is_open() && is_locked(file.number())) system_calls().unlink(at->path().c_str());
  }
}

std::optional<std::vector<std::byte>> DiskCache::find(const std::string& key, std::uint64_t size) {
  const std::string path = path_of(directory_, key);
  try {
    Found entry = read_entry(path, key, size, /*is_used=*/true);
    if (!entry.exists || entry.bytes) return std::move(entry.bytes);
    host_.note("cache: '" + path + "' is damaged and made again");
    system_calls().unlink(path.c_str());
  } catch (const Error& error) {
    if (!std::exchange(has_warned_, true)) host_.warn(error.what());
  }
  return std::nullopt;
}

bool DiskCache::holds(const std::string& directory, const std::string& key, std::uint64_t size) {
  try {
    return read_entry(path_of(directory, key), key, size, /*is_used=*/false).bytes.has_value();
  } catch (const Error&) {
    return false;
  }
}

void DiskCache::store(const std::string& key, std::span<const std::span<const std::byte>> parts) {
  if (is_broken_) return;
  const Head head = head_of(key, parts);
  std::uint64_t size = kHeadBytes;
  for (const auto& part : parts) size += part.size();
  if (size > most_bytes_) {
    if (!std::exchange(has_warned_, true)) host_.warn("nothing is cached: one entry takes " + std::to_string(size) + " bytes, the cache may hold " + std::to_string(most_bytes_));
    return;
  }
  const auto give_up = [&](int error_number) {
    is_broken_ = true;  // the disk will not be emptier for the next one
    warn_once("cannot write to the cache", error_number);
  };
  const std::string folder = directory_ + "/unfinished", path = path_of(directory_, key);
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (!failed) fs::create_directories(fs::path(path).parent_path(), failed);
  if (failed) return give_up(failed.value());
  try {
    Unfinished file(folder, counter_);
    if (!file.is_open()) return give_up(errno);
    write_all(file.number(), head, path);
    for (const auto& part : parts) write_all(file.number(), part, path);
    if (retried([&] { return system_calls().rename(file.path().c_str(), path.c_str()); }) != 0) return give_up(errno);
    file.release();
  } catch (const Error& error) {
    is_broken_ = true;
    if (!std::exchange(has_warned_, true)) host_.warn("cannot write to the cache: '" + directory_ + "': " + error.reason());
    return;
  }
  stored_ += size;
  if (stored_ > most_bytes_ / kShareBeforeTrim) trim();
}

void DiskCache::trim() {
  stored_ = 0;
  struct Entry {
    fs::file_time_type used;
    std::uint64_t size;
    fs::path path;
  };
  std::vector<Entry> entries;
  std::uint64_t total = 0;
  std::error_code failed;
  // Other processes remove entries, and their folders never: what cannot be looked at is passed over.
  for (fs::directory_iterator folder(directory_, failed), end; !failed && folder != end; folder.increment(failed)) {
    const std::string first = folder->path().filename().string();
    if (first.size() != 2 || !is_hex(first)) continue;
    std::error_code gone;
    for (fs::directory_iterator at(folder->path(), gone); !gone && at != end; at.increment(gone)) {
      const std::string rest = at->path().filename().string();
      if (rest.size() != 2 * kKeyBytes - 2 || !is_hex(rest)) continue;
      std::error_code unknown;
      const auto size = at->file_size(unknown);
      const auto used = unknown ? fs::file_time_type() : at->last_write_time(unknown);
      if (unknown) continue;
      entries.push_back({used, size, at->path()});
      total += size;
    }
  }
  if (total <= most_bytes_) return;
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used != b.used ? a.used < b.used : a.path < b.path; });
  for (const Entry& entry : entries) {
    if (total <= most_bytes_) break;
    system_calls().unlink(entry.path.c_str());
    total -= entry.size;
  }
}

}  // namespace uio
