// Which records of a stream are meant: by document and by segment.
#pragma once

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "io/record.h"

namespace uio {

class Selection {
 public:
  // `documents`: ids as they are; none means all. `segments`: a range of indexes `A-B` (both included), `A-`, `-B` or `A`;
  // empty means all. Throws Error{kUsage} for another range.
  Selection(const std::vector<std::string>& documents, const std::string& segments);
  bool contains(const Span& span) const;
  // True if everything is selected.
  bool is_all() const;

 private:
  std::set<std::string> documents_;
  std::uint64_t first_ = 0, last_ = std::numeric_limits<std::uint64_t>::max();
};

}  // namespace uio
