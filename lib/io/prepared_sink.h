// Files that belong together: all of them are on the disk before the first has its name.
#pragma once

#include <memory>
#include <string>

#include "io/file.h"

namespace uio {

// A sink whose commit comes in two parts.
class PreparedSink : public Sink {
 public:
  // Does all of commit but giving the name, where there is one to give. Nothing is written after it. Throws Error{kIo}.
  virtual void prepare() = 0;
};

// What open_sink opens, standard output apart: `-` is a file like others here.
std::unique_ptr<PreparedSink> open_file_sink(const std::string& path);

}  // namespace uio
