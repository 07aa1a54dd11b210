#include "io/selection.h"

#include <charconv>

#include "base/error.h"

namespace uio {

Selection::Selection(const std::vector<std::string>& documents, const std::string& segments)
    : documents_(documents.begin(), documents.end()) {
  if (segments.empty()) return;
  const auto fail = [&] { throw Error(ErrorKind::kUsage, "bad range of segments", segments, "expected A-B, A-, -B or A"); };
  const auto number = [&](const std::string& digits) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) fail();
    return value;
  };
  const auto dash = segments.find('-');
  if (dash == std::string::npos) {
    first_ = last_ = number(segments);
    return;
  }
  const std::string begin = segments.substr(0, dash), end = segments.substr(dash + 1);
  if (begin.empty() && end.empty()) fail();
  if (!begin.empty()) first_ = number(begin);
  if (!end.empty()) last_ = number(end);
  if (first_ > last_) fail();
}

bool Selection::contains(const Span& span) const {
  return span.segment >= first_ && span.segment <= last_ && (documents_.empty() || documents_.contains(span.document));
}

bool Selection::is_all() const {
  return documents_.empty() && first_ == 0 && last_ == std::numeric_limits<std::uint64_t>::max();
}

}  // namespace uio
