// The memories before a segment in its document, for methods whose memories depend on them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/record.h"

namespace uio {

class EarlierMemories {
 public:
  // The segment that comes now. Those before it are forgotten where it does not follow them in its document.
  void begin(const Span& span) {
    if (span.document != document_ || span.segment != next_) memories_.clear();
    document_ = span.document;
    next_ = span.segment + 1;
  }
  void add(at::Tensor hidden) { memories_.push_back(std::move(hidden)); }
  std::span<const at::Tensor> memories() const { return memories_; }

 private:
  std::string document_;
  std::uint64_t next_ = 0;
  std::vector<at::Tensor> memories_;  // [1, N, M, D] each, oldest first
};

}  // namespace uio
