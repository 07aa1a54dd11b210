// LibTorch's exceptions as ours, so that no program needs to know its types.
#pragma once

#include <exception>
#include <string>

#include "base/error.h"

namespace uio {

// What `failure` is to a user: our own errors as they are, memory that ran out Error{kDevice} (`device` names it, empty: no
// name), everything else Error{kInternal}.
Error error_of(std::exception_ptr failure, const std::string& device = {});

}  // namespace uio
