#include "io/mapped_names.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "base/quote.h"

namespace uio {
namespace {

// Fixed storage and lock-free flags: a signal handler walks this list.
constexpr int kSlots = 256;
struct Slot {
  std::atomic<bool> is_taken = false;
  std::atomic<const std::byte*> begin = nullptr;  // set last, cleared first
  std::atomic<std::size_t> size = 0;
  std::atomic<char*> name = nullptr;
};
static_assert(std::atomic<const std::byte*>::is_always_lock_free && std::atomic<std::size_t>::is_always_lock_free);
Slot slots[kSlots];

}  // namespace

void enter_mapped_name(const std::byte* begin, std::size_t size, const std::string& path) {
  for (Slot& slot : slots) {
    if (slot.is_taken.exchange(true)) continue;
    slot.name = strdup(quote(path).c_str());
    slot.size = size;
    slot.begin = begin;
    return;
  }
}

void leave_mapped_name(const std::byte* begin) {
  for (Slot& slot : slots) {
    if (slot.begin != begin) continue;
    slot.begin = nullptr;
    std::free(slot.name.exchange(nullptr));
    slot.is_taken = false;
    return;
  }
}

const char* mapped_name_at(const void* address) noexcept {
  for (const Slot& slot : slots) {
    const std::byte* const begin = slot.begin;
    if (begin != nullptr && address >= begin && address < begin + slot.size) return slot.name;
  }
  return nullptr;
}

}  // namespace uio
