// The host of a program that runs in a shell: remarks, failures and progress on standard error, and the status they add up to.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>

#include "base/host.h"
#include "cli/settings.h"

namespace uio::cli {

// Safe to use from several threads.
class Console : public Host {
 public:
  // `name` is the program's, constant.
  explicit Console(std::string name);
  // Before it, errors are told and progress is not shown. `has_text_on_terminal`: results go to a terminal too, where a line of
  // progress would stand in their way.
  void configure(const Settings& settings, bool has_text_on_terminal);

  void note(const std::string& line) override;
  void warn(const std::string& line) override;
  void fail(const Error& error) override;
  void succeed() override;
  void progress(std::uint64_t done, std::uint64_t total, const char* unit) override;
  double seconds() override;

  // Prints `name: message` and the hint, which for misuse is never empty.
  void report(const Error& error);
  // Takes the line of progress away.
  void erase_progress();
  // 0; 1 when some inputs failed and others did not, or failed in different ways; else the status that all of them share.
  int status() const;
  // False when every input failed: then there is nothing whole to keep.
  bool has_results() const;

 private:
  void print(const std::string& line);

  const std::string name_;
  bool is_quiet_ = false, is_verbose_ = false, shows_progress_ = false, waits_ = true;
  mutable std::mutex mutex_;
  std::uint64_t successes_ = 0, failures_ = 0, answers_no_ = 0;
  int shared_status_ = 0;
  std::chrono::steady_clock::time_point start_, next_;
  bool has_started_ = false;
  std::uint64_t first_done_ = 0;
};

// True while a line of progress is on the screen; the signal handler asks.
extern std::atomic<bool> progress_is_shown;
inline constexpr char kEraseLine[] = "\r\033[K";

}  // namespace uio::cli
