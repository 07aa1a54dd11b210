// Where the checkout is, for tests that read its pages and golden files.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace uio::test {

// `name` in the checkout: that of UIO_SOURCE_DIR, else the one around the working folder or around this program (build/tests).
inline std::string source_path(const std::string& name) {
  namespace fs = std::filesystem;
  if (const char* folder = std::getenv("UIO_SOURCE_DIR")) return std::string(folder) + "/" + name;
  for (fs::path start : {fs::current_path(), fs::read_symlink("/proc/self/exe").parent_path()}) {
    for (;; start = start.parent_path()) {
      if (fs::exists(start / "tests/golden/stream/cases.h")) return (start / name).string();
      if (start == start.root_path()) break;
    }
  }
  throw std::runtime_error("set UIO_SOURCE_DIR to the checkout");
}

}  // namespace uio::test
