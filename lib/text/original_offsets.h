// Offsets in a text with replaced invalid bytes, taken back to the bytes as they were.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>

namespace uio {

// Both texts are walked once from the front: replacements are added in order, and looked up in order.
class OriginalOffsets {
 public:
  // The replaced text's [begin, begin + size) stands for the original's [original, original + original_size).
  void add(std::uint64_t begin, std::uint64_t size, std::uint64_t original, std::uint64_t original_size) {
    changes_.push_back({begin, size, original, original_size});
  }

  // The original offset of `offset`, which is not less than that of the call before. Offsets within a replacement are spread
  // over the bytes that it stands for, the last of which ends where it ends.
  std::uint64_t at(std::uint64_t offset) {
    while (!changes_.empty() && changes_.front().begin + changes_.front().size <= offset) {
      const Change& change = changes_.front();
      replaced_end_ = change.begin + change.size;
      original_end_ = change.original + change.original_size;
      changes_.pop_front();
    }
    if (!changes_.empty() && changes_.front().begin < offset) {
      const Change& change = changes_.front();
      return change.original + std::min(offset - change.begin, change.original_size);
    }
    return original_end_ + (offset - replaced_end_);
  }

 private:
  struct Change {
    std::uint64_t begin, size, original, original_size;
  };
  std::deque<Change> changes_;
  std::uint64_t replaced_end_ = 0, original_end_ = 0;  // of the last replacement passed
};

}  // namespace uio
