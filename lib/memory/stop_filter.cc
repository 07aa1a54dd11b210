#include "memory/stop_filter.h"

#include <algorithm>
#include <utility>

namespace uio {

std::string StopFilter::add(const std::string& text) {
  held_ += text;
  std::size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, held_.find(stop));
  if (first != std::string::npos) {
    is_stopped_ = true;
    return take(first);
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
