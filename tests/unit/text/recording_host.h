// A host that remembers what it was told.
#pragma once

#include "base/host.h"

namespace text_test {

class RecordingHost : public uio::Host {
 public:
  void note(const std::string&) override {}
  void warn(const std::string&) override {}
  void fail(const uio::Error& error) override { failures.push_back(error.what()); }
  void succeed() override { ++successes; }
  void progress(std::uint64_t done, std::uint64_t total, const char*) override { this->done = done, this->total = total; }
  double seconds() override { return 0; }

  std::vector<std::string> failures;
  int successes = 0;
  std::uint64_t done = 0, total = 0;
};

}  // namespace text_test
