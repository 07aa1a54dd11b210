// What a program lends the library: where results go, whom to tell. The library itself never prints, exits or asks for the
// time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace uio {

class Sink;

class Host {
 public:
  virtual ~Host() = default;
  // A remark for people, shown with -v only. One line, no program name.
  virtual void note(const std::string& line) = 0;
  // A remark that is shown unless -q.
  virtual void warn(const std::string& line) = 0;
  // One input failed and the run goes on: prints the error; the program will end with status 1, or with the error's own status
  // if nothing succeeded.
  virtual void fail(const Error& error) = 0;
  // Something succeeded (an input, a request): see fail.
  virtual void succeed() = 0;
  // Progress: `done` of `total` (0: unknown) units, e.g. "tokens". Cheap to call often.
  virtual void progress(std::uint64_t done, std::uint64_t total, const char* unit) = 0;
  // Throws Error{kUsage} when the sink is a terminal and the bytes are binary (unless -f), or does nothing.
  // Seconds of a steady clock, for rates.
  virtual double seconds() = 0;
};

}  // namespace uio
