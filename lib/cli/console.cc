// Lines on standard error, one write each, so that those of several processes do not mix.
#include "cli/console.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/told.h"
#include "cli/options.h"

namespace uio::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::seconds(1);  // shorter runs show nothing
constexpr auto kInterval = std::chrono::milliseconds(1000 / 6);

std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

std::string clock_time(double seconds) {
  const auto whole = static_cast<unsigned long long>(seconds + 0.5);
  char buffer[48];
  if (whole >= 3600) {
    std::snprintf(buffer, sizeof buffer, "%llu:%02llu:%02llu", whole / 3600, whole / 60 % 60, whole % 60);
  } else {
    std::snprintf(buffer, sizeof buffer, "%llu:%02llu", whole / 60, whole % 60);
  }
  return buffer;
}

}  // namespace

std::atomic<bool> progress_is_shown{false};

Console::Console(std::string name) : name_(std::move(name)) {}

void Console::configure(const Settings& settings, bool has_text_on_terminal) {
  const std::lock_guard lock(mutex_);
  is_quiet_ = settings.quiet;
  is_verbose_ = settings.verbose && !settings.quiet;
  const char* terminal = std::getenv("TERM");
  const bool can_erase = isatty(STDERR_FILENO) && !(terminal && std::strcmp(terminal, "dumb") == 0);
  shows_progress_ = settings.progress == When::kAlways ||
                    (settings.progress == When::kAuto && can_erase && !settings.quiet && !has_text_on_terminal);
  waits_ = settings.progress != When::kAlways;
}

void Console::print(const std::string& line) {
  erase_progress();
  const std::string text = name_ + ": " + line + "\n";
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void Console::note(const std::string& line) {
  const std::lock_guard lock(mutex_);
  if (is_verbose_) print(line);
}

void Console::warn(const std::string& line) {
  const std::lock_guard lock(mutex_);
  if (!is_quiet_) print(line);
}

void Console::report(const Error& error) {
  if (is_told(error)) return;
  std::string text = error.what();
  std::string hint = error.hint();
  if (hint.empty() && error.kind() == ErrorKind::kUsage) hint = "see " + name_ + " --help";
  if (!hint.empty()) text += "\nhint: " + hint;
  print(text);
}

void Console::fail(const Error& error) {
  const std::lock_guard lock(mutex_);
  report(error);
  ++failures_;
  if (error.kind() == ErrorKind::kNo) ++answers_no_;
  shared_status_ = failures_ == 1 || shared_status_ == error.status() ? error.status() : static_cast<int>(ErrorKind::kNo);
}

void Console::succeed() {
  const std::lock_guard lock(mutex_);
  ++successes_;
}

int Console::status() const {
  const std::lock_guard lock(mutex_);
  if (failures_ == 0) return 0;
  return successes_ > 0 ? static_cast<int>(ErrorKind::kNo) : shared_status_;
}

bool Console::has_results() const {
  const std::lock_guard lock(mutex_);
  return failures_ == 0 || successes_ > 0 || answers_no_ > 0;
}

double Console::seconds() { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); }

void Console::progress(std::uint64_t done, std::uint64_t total, const char* unit) {
  if (!shows_progress_) return;
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  if (!has_started_) {
    has_started_ = true;
    first_done_ = done;
    start_ = now;
    next_ = waits_ ? now + kPatience : now;
  }
  if (now < next_) return;
  next_ = now + kInterval;
  std::string text = grouped(done);
  if (total > 0) text += " of " + grouped(total);
  text += std::string(" ") + unit;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  if (elapsed > 0 && done > first_done_) {
    const double rate = static_cast<double>(done - first_done_) / elapsed;
    text += ", " + grouped(static_cast<std::uint64_t>(rate + 0.5)) + " " + unit + "/s";
    if (total > done) text += ", " + clock_time(static_cast<double>(total - done) / rate) + " left";
  }
  text = kEraseLine + name_ + ": " + text;
  progress_is_shown = true;
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void Console::erase_progress() {
  if (progress_is_shown.exchange(false)) std::fwrite(kEraseLine, 1, sizeof kEraseLine - 1, stderr);
}

}  // namespace uio::cli
