// The guard around every main: arguments, statuses, signals, and an output that is whole or absent.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/options.h"
#include "io/jobs.h"

namespace uio::cli {

// One run of a program, from valid arguments to its output.
class Session {
 public:
  Session(const ProgramInfo& info, Settings settings, Console& console);

  const Settings& settings() const { return settings_; }
  // The operands, or `-` without any. Throws Error{kUsage} when that would be a terminal which nobody named.
  std::vector<std::string> inputs() const;
  // The model, adapter and cache that options, environment and installation point to, with the other options on the model.
  ModelChoice model() const;
  // What to compress with; the directory of the cache from the environment where no option says it.
  CompressJob compress() const;
  // Throws Error{kUsage} when `output`, the name of a file, is a terminal, unless --force: the bytes to come are not text.
  void refuse_terminal(const std::string& output) const;
  // Opens the output. From here on the run can fail only for what it finds in its inputs, or at the end of the disk.
  // Of several processes that `launch` tells of, the first one writes.
  JobIo& open(std::vector<std::string> inputs, Launch launch = {});
  // The output is whole: in place, or flushed.
  void commit();

 private:
  const ProgramInfo& info_;
  Settings settings_;
  Console& console_;
  std::unique_ptr<Sink> output_;
  bool is_committed_ = false;  // what was opened first is whole
  JobIo io_;
};

// Parses, runs `body`, and ends the process with the status that belongs to what happened. Does not return.
[[noreturn]] void run_program(Program program, int argc, char** argv, void (*body)(Session&));

}  // namespace uio::cli
