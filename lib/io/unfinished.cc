#include "io/unfinished.h"

#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstring>

#include "base/error.h"
#include "io/file.h"
#include "io/system_calls.h"

namespace uio {
namespace {

// Fixed storage and lock-free flags: a signal handler walks this list.
constexpr int kSlots = 16;
enum SlotState : int { kFree, kClaimed, kNamed };
struct Slot {
  std::atomic<int> state = kFree;
  char path[PATH_MAX];
};
static_assert(std::atomic<int>::is_always_lock_free);
Slot slots[kSlots];

}  // namespace

UnfinishedFile::UnfinishedFile(const std::string& path) {
  if (path.size() >= PATH_MAX) throw Error(ErrorKind::kIo, "cannot write", path, "file name too long");
  for (slot_ = 0; slot_ < kSlots; ++slot_) {
    int free = kFree;
    if (!slots[slot_].state.compare_exchange_strong(free, kClaimed)) continue;
    std::memcpy(slots[slot_].path, path.c_str(), path.size() + 1);
    slots[slot_].state = kNamed;
    return;
  }
  throw Error(ErrorKind::kInternal, "cannot write", path, "too many unfinished files at once");
}

UnfinishedFile::~UnfinishedFile() {
  if (slot_ < 0) return;
  system_calls().unlink(slots[slot_].path);
  release();
}

void UnfinishedFile::release() {
  if (slot_ >= 0) slots[slot_].state = kFree;
  slot_ = -1;
}

void remove_unfinished_files() noexcept {
  for (Slot& slot : slots) {
    if (slot.state == kNamed) ::unlink(slot.path);
  }
}

}  // namespace uio
