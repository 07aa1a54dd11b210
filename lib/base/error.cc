#include "base/error.h"

#include "base/quote.h"

namespace uio {

Error::Error(ErrorKind kind, std::string what, std::string subject, std::string reason, std::string hint)
    : kind_(kind), subject_(std::move(subject)), reason_(std::move(reason)), hint_(std::move(hint)), message_(std::move(what)) {
  if (!subject_.empty()) message_ += ": " + quote(subject_);
  if (!reason_.empty()) message_ += ": " + reason_;
}

}  // namespace uio
