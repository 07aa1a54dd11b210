// Bytes kept on disk under the hash of what they were made from: an aid that any number of processes share, that may be deleted,
// damaged or full at any time, and that no run fails for once it has begun.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/host.h"

namespace uio {

// Layout of the directory: `ab/cdef…` (the 64 digits of a key, parted after two) are entries, `unfinished/PID-N` entries being written.
// An entry is a head of 64 bytes (kind, key, size, checksum of all) and the bytes; whatever does not match is damaged, and as good as
// absent. It is written under another name and renamed, so a name shows a whole entry or none.
// No process waits for another: whoever writes holds a lock on its unfinished file, which the kernel takes away when it dies, however it
// dies; unfinished files without one are removed by the next run. Last use is the time of modification.
// Not for several threads.
class DiskCache {
 public:
  // Makes the directory where there is none, and removes what dead processes left. `most_bytes` is what all entries together may take.
  // Throws Error{kIo} when there is no directory of that name and none can be made. `host` must outlive it: it is told of damaged entries
  // (a note), and once of a cache that cannot be read or written (a warning).
  DiskCache(std::string directory, std::uint64_t most_bytes, Host& host);
  // Trims.
  ~DiskCache();
  DiskCache(const DiskCache&) = delete;
  DiskCache& operator=(const DiskCache&) = delete;

  // The `size` bytes kept under `key` (64 hexadecimal digits), which count as used now; nothing when they are not there or damaged.
  // Takes no more memory than `size`, whatever lies there.
  std::optional<std::vector<std::byte>> find(const std::string& key, std::uint64_t size);
  // Whether `size` bytes are kept under `key` and whole, without touching anything: where there is no directory, or it cannot be read, no.
  static bool holds(const std::string& directory, const std::string& key, std::uint64_t size);
  // Keeps the bytes of `parts`, joined, under `key`, in place of what is there.
  void store(const std::string& key, std::span<const std::span<const std::byte>> parts);
  // Removes the entries that were not used for longest until the rest is within the bound. Called by itself after some stores and at the
  // end: so the bound is kept to within a sixteenth of it for each process at work, and by the last one exactly.
  void trim();

 private:
  class Unfinished;
  void remove_leftovers();
  void warn_once(const char* what, int error_number);

  std::string directory_;
  std::uint64_t most_bytes_;
  Host& host_;
  std::uint64_t stored_ = 0;  // bytes since the last trim
  unsigned counter_ = 0;      // of unfinished files
  bool is_broken_ = false, has_warned_ = false;
};

}  // namespace uio
