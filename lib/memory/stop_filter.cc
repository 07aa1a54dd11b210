#include "memory/stop_filter.h"

#include <algorithm>
#include <utility>

namespace uio {

std::string StopFilter::add(const std::string& text) {
  held_ += text;
  // The stop string that is whole first, wherever the pieces were cut; of those that end together the longest.
  std::size_t first_end = std::string::npos, begin = 0;
  for (const std::string& stop : stops_) {
    const std::size_t at = held_.find(stop);
    if (at == std::string::npos) continue;
    const std::size_t end = at + stop.size();
    if (end < first_end || (end == first_end && at < begin)) {
      first_end = end;
      begin = at;
    }
  }
  if (first_end != std::string::npos) {
    is_stopped_ = true;
    return take(begin);
  }
  std::size_t safe = held_.size();
  for (const std::string& stop : stops_)
    for (std::size_t length = std::min(stop.size() - 1, held_.size()); length > 0; --length)
      if (held_.compare(held_.size() - length, length, stop, 0, length) == 0) {
        safe = std::min(safe, held_.size() - length);
        break;
      }
  return take(safe);
}

std::string StopFilter::finish() { return is_stopped_ ? std::string() : take(held_.size()); }

std::string StopFilter::take(std::size_t count) {
  std::string out = held_.substr(0, count);
  held_.erase(0, count);
  return out;
}

}  // namespace uio
