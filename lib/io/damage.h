// What is wrong with a frame, before anyone has said which frame of which input it is.
#pragma once

#include <string>

#include "base/error.h"

namespace uio {

// Thrown by the codecs; the stream's reader and writer turn it into an Error that names the input and the record. The reason
// continues a sentence that begins with the record ("record 3" + " " + reason).
struct Damage {
  ErrorKind kind;
  std::string reason;
};

}  // namespace uio
