// Bounds what a mapped file that is read for long holds of this process's memory.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "io/file.h"

namespace uio {

class HeldPages {
 public:
  explicit HeldPages(std::uint64_t most = std::uint64_t{1} << 29) : most_(most) {}
  // So many bytes of `file` are about to be read, from one place. Beyond the bound all pages of the file are let go; a file within it stays. Any thread.
  void read(const MappedFile& file, std::uint64_t bytes) noexcept {
    if (file.bytes().size() <= most_) return;
    if (held_.fetch_add(std::max(bytes, kLeast), std::memory_order_relaxed) <= most_) return;
    held_.store(0, std::memory_order_relaxed);
    file.release();
  }

 private:
  static constexpr std::uint64_t kLeast = 1 << 14;  // with a page come some of its neighbours
  std::uint64_t most_;
  std::atomic<std::uint64_t> held_ = 0;
};

}  // namespace uio
