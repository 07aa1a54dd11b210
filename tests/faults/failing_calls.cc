// A library to preload: makes chosen calls of a program to the operating system fail, as far as they are about files of a test.
//
// Environment (without UIO_FAULT_ROOT nothing is touched):
//   UIO_FAULT_ROOT  a folder; only calls about what lies in it are looked at, and about pipes that are standard input or output
//   UIO_FAULT_LOG   a file; each of those calls adds a line, `call subject`, with a third word where it was made to fail
//   UIO_FAULT       what fails, parted by spaces: CALL:N:HOW the N-th such call, CALL:N+:HOW that and all after it. HOW is a
//                   name of errno; EINTR spares every second call, which is the one made again; `short` lets a read or write
//                   move one byte; `bus` gives a map whose pages cannot be read; `kill` is SIGKILL just before the call
// The calls made inside of the C library are its own and cannot be seen.
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr int kMostFaults = 16;
constexpr int kShort = -1, kBus = -2, kKill = -3;

struct Fault {
  char call[16];
  unsigned from;
  bool goes_on;
  int how;  // an errno or one of the above
  std::atomic<unsigned> count;
};

Fault faults[kMostFaults];
int fault_count = 0, log_file = -1;
char root[PATH_MAX], pipes[2][64];
std::size_t root_size = 0;

int number_of(const char* how) {
  struct Name {
    const char* text;
    int number;
  };
  static constexpr Name names[] = {{"EINTR", EINTR}, {"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EMFILE", EMFILE}, {"ENOMEM", ENOMEM},         {"EACCES", EACCES},
                                   {"EPERM", EPERM}, {"ENOLCK", ENOLCK}, {"EROFS", EROFS},   {"EDQUOT", EDQUOT}, {"EOPNOTSUPP", EOPNOTSUPP}, {"short", kShort},
                                   {"bus", kBus},    {"kill", kKill}};
  for (const Name& name : names)
    if (std::strcmp(how, name.text) == 0) return name.number;
  return 0;
}

[[noreturn]] void refuse(const char* text) {
  dprintf(STDERR_FILENO, "failing_calls: bad UIO_FAULT '%s'\n", text);
  syscall(SYS_exit_group, 99);
  __builtin_unreachable();
}

// What a descriptor is open on, by /proc; empty when it cannot be told.
void name_of(int file, char (&name)[PATH_MAX]) {
  char link[32];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t size = syscall(SYS_readlink, link, name, PATH_MAX - 1);
  name[size < 0 ? 0 : size] = '\0';
}

__attribute__((constructor)) void read_environment() {
  const char* folder = std::getenv("UIO_FAULT_ROOT");
  if (!folder) return;
  if (const char* path = std::getenv("UIO_FAULT_LOG")) {
    const long file = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    log_file = static_cast<int>(syscall(SYS_fcntl, file, F_DUPFD_CLOEXEC, 500));
    syscall(SYS_close, file);
  }
  const char* text = std::getenv("UIO_FAULT");
  std::string chosen = text ? text : "";
  char* place = nullptr;
  for (char* one = strtok_r(chosen.data(), " ", &place); one; one = strtok_r(nullptr, " ", &place)) {
    Fault& fault = faults[fault_count];
    char count[16], how[16];
    if (fault_count == kMostFaults || std::sscanf(one, "%15[^:]:%15[^:]:%15s", fault.call, count, how) != 3) refuse(one);
    fault.from = static_cast<unsigned>(std::atoi(count));
    fault.goes_on = std::strchr(count, '+') != nullptr;
    fault.how = number_of(how);
    if (fault.from == 0 || fault.how == 0) refuse(one);
    ++fault_count;
  }
  for (int file : {STDIN_FILENO, STDOUT_FILENO}) {
    char name[PATH_MAX];
    name_of(file, name);
    if (std::strncmp(name, "pipe:", 5) == 0) std::snprintf(pipes[file], sizeof pipes[file], "%.63s", name);
  }
  std::snprintf(root, sizeof root, "%s", folder);
  root_size = std::strlen(root);
}

bool is_ours(const char* path) {
  if (root_size == 0) return false;
  char here[PATH_MAX];
  if (path[0] != '/') {
    if (syscall(SYS_getcwd, here, sizeof here) < 0) return false;
    path = here;
  }
  return std::strncmp(path, root, root_size) == 0 && (path[root_size] == '/' || path[root_size] == '\0');
}

// Counts a call about `subject`, writes it down, and says how it is to fail: 0 not at all.
int choose(const char* call, const char* subject) {
  int chosen = 0;
  for (int i = 0; i < fault_count; ++i) {
    Fault& fault = faults[i];
    if (std::strcmp(fault.call, call) != 0) continue;
    const unsigned count = ++fault.count;
    const bool is_hit = count == fault.from || (fault.goes_on && count > fault.from && (fault.how != EINTR || (count - fault.from) % 2 == 0));
    if (is_hit && chosen == 0) chosen = fault.how;
  }
  if (log_file >= 0) {
    char line[PATH_MAX + 64];
    const int size = std::snprintf(line, sizeof line, "%s %s%s\n", call, subject, chosen != 0 ? " failed" : "");
    syscall(SYS_write, log_file, line, static_cast<std::size_t>(size));
  }
  if (chosen == kKill) syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
  return chosen;
}

// The same for a call about a path, errno set where it is to fail.
bool fails(const char* call, const char* path) {
  if (path == nullptr || !is_ours(path)) return false;
  const int error = choose(call, path);
  if (error > 0) errno = error;
  return error > 0;
}

// The same for a call about a descriptor; the answer may be `short` or `bus` too. Standard error is for messages.
int choose(const char* call, int file) {
  if (root_size == 0 || file < 0 || file == STDERR_FILENO) return 0;
  char name[PATH_MAX];
  name_of(file, name);
  const bool is_pipe = name[0] != '\0' && (std::strcmp(name, pipes[0]) == 0 || std::strcmp(name, pipes[1]) == 0);
  if (!is_pipe && (name[0] != '/' || !is_ours(name))) return 0;
  const int error = choose(call, name);
  if (error > 0) errno = error;
  return error;
}

template <typename Function>
Function* real(Function*, const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// The function of this name that the program would have called.
#define REAL(name) ([] { static auto* const function = real(&::name, #name); return function; }())

mode_t mode_of(int flags, va_list arguments) {
  return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
}

bool open_fails(const char* path, int flags) { return fails((flags & O_TMPFILE) == O_TMPFILE ? "tmpfile" : "open", path); }

}  // namespace

extern "C" {

#define DEFINE_OPEN(name)                               \
  int name(const char* path, int flags, ...) {          \
    va_list arguments;                                  \
    va_start(arguments, flags);                         \
    const mode_t mode = mode_of(flags, arguments);      \
    va_end(arguments);                                  \
    if (open_fails(path, flags)) return -1;             \
    return REAL(name)(path, flags, mode);               \
  }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

// std::filesystem opens folders this way; relative to another folder they are not told apart from those of others, and pass.
#define DEFINE_OPENAT(name)                                                     \
  int name(int folder, const char* path, int flags, ...) {                      \
    va_list arguments;                                                          \
    va_start(arguments, flags);                                                 \
    const mode_t mode = mode_of(flags, arguments);                              \
    va_end(arguments);                                                          \
    if (folder == AT_FDCWD && fails("opendir", path)) return -1;                \
    return REAL(name)(folder, path, flags, mode);                               \
  }
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

ssize_t read(int file, void* buffer, size_t size) {
  const int how = choose("read", file);
  if (how > 0) return -1;
  return REAL(read)(file, buffer, how == kShort ? size != 0 : size);
}

#define DEFINE_PREAD(name, offset_type)                                             \
  ssize_t name(int file, void* buffer, size_t size, offset_type offset) {            \
    const int how = choose("pread", file);                                           \
    if (how > 0) return -1;                                                          \
    return REAL(name)(file, buffer, how == kShort ? size != 0 : size, offset);       \
  }
DEFINE_PREAD(pread, off_t)
DEFINE_PREAD(pread64, off64_t)

ssize_t write(int file, const void* buffer, size_t size) {
  const int how = choose("write", file);
  if (how > 0) return -1;
  return REAL(write)(file, buffer, how == kShort ? size != 0 : size);
}

// Like the kernel, closes even when it reports a failure.
int close(int file) {
  const int how = choose("close", file), error = errno;
  const int result = REAL(close)(file);
  if (how <= 0) return result;
  errno = error;
  return -1;
}

#define DEFINE_FCNTL(name)                                                         \
  int name(int file, int command, ...) {                                           \
    va_list arguments;                                                             \
    va_start(arguments, command);                                                  \
    void* const argument = va_arg(arguments, void*);                               \
    va_end(arguments);                                                             \
    if (command == F_DUPFD_CLOEXEC && choose("duplicate", file) > 0) return -1;    \
    return REAL(name)(file, command, argument);                                    \
  }
DEFINE_FCNTL(fcntl)
DEFINE_FCNTL(fcntl64)

int fstat(int file, struct stat* status) noexcept { return choose("fstat", file) > 0 ? -1 : REAL(fstat)(file, status); }
int fstat64(int file, struct stat64* status) noexcept { return choose("fstat", file) > 0 ? -1 : REAL(fstat64)(file, status); }
int fchmod(int file, mode_t mode) noexcept { return choose("fchmod", file) > 0 ? -1 : REAL(fchmod)(file, mode); }
int fsync(int file) { return choose("fsync", file) > 0 ? -1 : REAL(fsync)(file); }
int flock(int file, int operation) noexcept { return choose("flock", file) > 0 ? -1 : REAL(flock)(file, operation); }
int futimens(int file, const struct timespec times[2]) noexcept { return choose("futimens", file) > 0 ? -1 : REAL(futimens)(file, times); }

#define DEFINE_MMAP(name, offset_type)                                                                          \
  void* name(void* address, size_t size, int protection, int flags, int file, offset_type offset) noexcept {    \
    const int how = flags & MAP_ANONYMOUS ? 0 : choose("mmap", file);                                           \
    if (how > 0) return MAP_FAILED;                                                                             \
    if (how != kBus) return REAL(name)(address, size, protection, flags, file, offset);                         \
    const int empty = static_cast<int>(syscall(SYS_memfd_create, "empty", 0));                                  \
    void* const map = REAL(name)(address, size, protection, flags, empty, 0);                                   \
    syscall(SYS_close, empty);                                                                                  \
    return map;                                                                                                 \
  }
DEFINE_MMAP(mmap, off_t)
DEFINE_MMAP(mmap64, off64_t)

#define DEFINE_STAT(name, type) \
  int name(const char* path, struct type* status) noexcept { return fails("stat", path) ? -1 : REAL(name)(path, status); }
DEFINE_STAT(stat, stat)
DEFINE_STAT(stat64, stat64)
DEFINE_STAT(lstat, stat)
DEFINE_STAT(lstat64, stat64)

int access(const char* path, int mode) noexcept { return fails("access", path) ? -1 : REAL(access)(path, mode); }
int mkdir(const char* path, mode_t mode) noexcept { return fails("mkdir", path) ? -1 : REAL(mkdir)(path, mode); }
int rename(const char* from, const char* to) noexcept { return fails("rename", to) ? -1 : REAL(rename)(from, to); }
int unlink(const char* path) noexcept { return fails("unlink", path) ? -1 : REAL(unlink)(path); }
int remove(const char* path) noexcept { return fails("unlink", path) ? -1 : REAL(remove)(path); }
DIR* opendir(const char* path) { return fails("opendir", path) ? nullptr : REAL(opendir)(path); }
char* realpath(const char* path, char* resolved) noexcept { return fails("realpath", path) ? nullptr : REAL(realpath)(path, resolved); }

int linkat(int from_folder, const char* from, int to_folder, const char* to, int flags) noexcept {
  return fails("linkat", to) ? -1 : REAL(linkat)(from_folder, from, to_folder, to, flags);
}

}  // extern "C"
