// An error that ends a run of several processes, in those of them that do not tell it.
#pragma once

#include "base/error.h"

namespace uio {

// Ends the program with the status of its kind and is not printed: another process has told what failed, or this one already.
class ToldError : public Error {
 public:
  explicit ToldError(ErrorKind kind) : Error(kind, "the run failed", "", "") {}
};

inline bool is_told(const Error& error) { return dynamic_cast<const ToldError*>(&error) != nullptr; }

}  // namespace uio
