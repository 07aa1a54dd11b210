// Signals and standard descriptors.
#include "cli/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstring>

#include "base/error.h"
#include "cli/console.h"
#include "io/file.h"
#include "io/mapped_names.h"

namespace uio::cli {
namespace {

void stop(int signal) {
  if (progress_is_shown) (void)!write(STDERR_FILENO, kEraseLine, sizeof kEraseLine - 1);
  remove_unfinished_files();
  raise(signal);  // delivered with its default action when this handler returns (SA_RESETHAND)
}

const char* program_name = "";

void say(const char* text) { (void)!write(STDERR_FILENO, text, std::strlen(text)); }

void report_unreadable_page(int signal, siginfo_t* info, void*) {
  const char* const file = mapped_name_at(info->si_addr);
  if (file == nullptr) return stop(signal);
  if (progress_is_shown) say(kEraseLine);
  for (const char* part : {program_name, ": cannot read: ", file, ": a page of it cannot be read (input/output error, or the file was cut)\n"}) say(part);
  remove_unfinished_files();
  _exit(static_cast<int>(ErrorKind::kIo));
}

}  // namespace

void guard_standard_descriptors() {
  const int access[] = {O_WRONLY, O_RDONLY, O_WRONLY};  // of 0, 1, 2: reading 0 and writing 1 must fail
  for (int descriptor = 0; descriptor < 3; ++descriptor) {
    if (fcntl(descriptor, F_GETFD) == -1 && open("/dev/null", access[descriptor]) != descriptor) _exit(5);
  }
}

void handle_signals(const char* program) {
  struct sigaction action = {};
  action.sa_handler = stop;
  action.sa_flags = SA_RESETHAND;
  sigfillset(&action.sa_mask);
  for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGPIPE}) {
    struct sigaction before;
    // Whoever runs a program under nohup, or in the background of a script, wants it left alone.
    const bool may_be_ignored = signal != SIGPIPE;
    if (may_be_ignored && sigaction(signal, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) continue;
    sigaction(signal, &action, nullptr);
  }
  program_name = program;
  struct sigaction unreadable = {};
  unreadable.sa_sigaction = report_unreadable_page;
  unreadable.sa_flags = SA_SIGINFO | SA_RESETHAND;
  sigfillset(&unreadable.sa_mask);
  sigaction(SIGBUS, &unreadable, nullptr);
  sigset_t pipe_only;
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  sigprocmask(SIG_UNBLOCK, &pipe_only, nullptr);
  signal(SIGXFSZ, SIG_IGN);
}

}  // namespace uio::cli
