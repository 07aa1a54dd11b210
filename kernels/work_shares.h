// Work that threads divide among themselves as they go: the read rate of a core is seldom that of the next one, and with parts cut beforehand a token waits for the
// slower one at every product. Torch-free.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace uio::kernels {

// `count` tasks in a row. Each of `members` threads begins with an even part of them, which it goes through from front to back (memory is read fastest in order);
// who has nothing left takes the rear half of what another one has left. A member that never comes is missed by nobody.
class Tasks {
 public:
  Tasks(std::int64_t count, std::int64_t members) : count_(count), ranges_(static_cast<std::size_t>(members)) {
    for (std::int64_t member = 0; member < members; ++member) ranges_[static_cast<std::size_t>(member)].both = joined(begin_of(member), begin_of(member + 1));
  }
  // Where a member begins.
  std::int64_t begin_of(std::int64_t member) const { return count_ * member / static_cast<std::int64_t>(ranges_.size()); }

  // What member `member`, each a thread, calls: calls visit(begin, end) until no task is left to take.
  template <typename Visit>
  void take(std::int64_t member, const Visit& visit) {
    const auto members = static_cast<std::int64_t>(ranges_.size());
    for (std::int64_t other = 0; other < members; ++other) {
      std::atomic<std::uint64_t>& range = ranges_[static_cast<std::size_t>((member + other) % members)].both;
      for (std::uint64_t both = range.load(); both >> 32 < (both & kEnd);) {
        std::int64_t begin = static_cast<std::int64_t>(both >> 32), end = static_cast<std::int64_t>(both & kEnd);
        const std::int64_t some = std::max<std::int64_t>(1, (end - begin) / (other == 0 ? 4 : 2)), cut = other == 0 ? begin + some : end - some;
        if (!range.compare_exchange_weak(both, other == 0 ? joined(cut, end) : joined(begin, cut))) continue;
        (other == 0 ? end : begin) = cut;
        visit(begin, end);
        done_.fetch_add(end - begin, std::memory_order_release);
        both = range.load();
      }
    }
  }
  // Returns when all tasks have been visited, by whichever thread.
  void wait() const {
    for (int spins = 0; done_.load(std::memory_order_acquire) < count_; ++spins)
      if (spins > kSpins) std::this_thread::yield();
  }

 private:
  static constexpr int kSpins = 10000;  // some 10 µs, longer than a visit takes: then somebody else may need the core
  static constexpr std::uint64_t kEnd = 0xffffffff;
  static std::uint64_t joined(std::int64_t begin, std::int64_t end) { return static_cast<std::uint64_t>(begin) << 32 | static_cast<std::uint64_t>(end); }
  struct alignas(64) Range {  // a cache line, so that nobody waits for another's
    std::atomic<std::uint64_t> both = 0;  // where it begins, and in the lower half where it ends
  };
  std::int64_t count_;
  std::vector<Range> ranges_;
  alignas(64) std::atomic<std::int64_t> done_ = 0;
};

}  // namespace uio::kernels
