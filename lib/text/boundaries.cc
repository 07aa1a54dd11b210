#include "text/boundaries.h"

#include "base/random.h"

namespace uio {
namespace {

enum End : std::uint8_t { kParagraphEnd, kLineEnd, kNoEnd };

constexpr int kShift = 4;  // 64 bits forget a token after 16 others

// As good as a table of random numbers, for any vocabulary.
std::uint64_t mixed(std::int32_t id) {
  std::uint64_t state = static_cast<std::uint32_t>(id);
  return split_mix(state);
}

}  // namespace

std::uint8_t BoundaryFinder::kind_of_end(std::string_view bytes) {
  for (const char byte : bytes) {
    if (byte == '\n') ++newlines_;
    else if (byte != ' ' && byte != '\t' && byte != '\r') newlines_ = 0;
  }
  if (!bytes.ends_with('\n')) return kNoEnd;
  return newlines_ > 1 ? kParagraphEnd : kLineEnd;
}

void BoundaryFinder::add(std::int32_t id, std::string_view bytes) {
  hash_ = (hash_ << kShift) + mixed(id);
  std::uint8_t kind = kNoEnd;
  if (cutting_.boundaries == Boundaries::kParagraph) {
    kind = kind_of_end(bytes);
    // Of line ends that follow each other the last one ends the paragraph: they are not parted.
    if (kind == kParagraphEnd && !ranks_.empty() && ranks_.back().kind != kNoEnd) ranks_.back().kind = kNoEnd;
  }
  ranks_.push_back({kind, hash_});
}

std::size_t BoundaryFinder::best() const {
  std::size_t best = cutting_.least();
  for (std::size_t count = best + 1; count <= cutting_.length; ++count)
    if (ranks_[count - 1] <= ranks_[best - 1]) best = count;  // of equals the last: text that repeats itself fills its segments
  return best;
}

void BoundaryFinder::drop(std::size_t count) { ranks_.erase(ranks_.begin(), ranks_.begin() + static_cast<std::ptrdiff_t>(count)); }

}  // namespace uio
