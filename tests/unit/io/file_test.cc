#include "io/file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "unit/io/faults.h"
#include "unit/io/samples.h"
#include "unit/io/scratch.h"

using namespace uio;
using namespace uio::test;
namespace fs = std::filesystem;

namespace {

// Runs `action` in a child and returns its wait status.
template <typename Action>
int in_child(const Action& action) {
  const pid_t child = fork();
  if (child == 0) {
    int status = 99;
    try {
      status = action();
    } catch (const Error& error) {
      status = error.status();
    }
    _exit(status);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

void commit_text(const std::string& path, std::string_view text) {
  const auto sink = open_sink(path);
  sink->write(text);
  sink->commit();
}

mode_t mode_of(const std::string& path) {
  struct stat status;
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("a source reads a file, in pieces of any size") {
  const Scratch scratch;
  std::string content(200'000, 0);
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7 >> 2);
  const std::string path = scratch.write("a", content);
  CHECK(read_all(*open_source(path), content.size()) == content);
  for (const std::size_t piece : {1, 7, 65536, 100'000}) {
    const auto source = open_source(path);
    CHECK(source->name() == path);
    std::string text, buffer(piece, 0);
    while (const std::size_t count = source->read(std::as_writable_bytes(std::span(buffer)))) text += buffer.substr(0, count);
    CHECK(text == content);
  }
}

TEST_CASE("read_all refuses what is longer than the limit") {
  const std::string text(1000, 'x');
  CHECK(read_all(*memory_source(as_bytes(text), "m"), 1000) == text);
  CHECK(message_of([&] { read_all(*memory_source(as_bytes(text), "m"), 999); }) ==
        "cannot read: 'm': is longer than 999 bytes");
  CHECK(read_all(*memory_source({}, "m"), 0).empty());
}

TEST_CASE("what cannot be opened is status 5 with its reason") {
  const Scratch scratch;
  CHECK(message_of([&] { open_source(scratch.path("none")); }).ends_with("none': no such file or directory"));
  CHECK(message_of([&] { open_source(scratch.path("")); }).ends_with("is a directory"));
  CHECK(message_of([&] { MappedFile(scratch.path("")); }).ends_with("is a directory"));
  CHECK(message_of([&] { MappedFile("/dev/null"); }).ends_with("is not a regular file, so it cannot be mapped"));
  CHECK(message_of([&] { open_sink(scratch.path("")); }).ends_with("is a directory"));
  CHECK(message_of([&] { open_sink(scratch.path("none/a")); }).ends_with("no such file or directory"));
  CHECK(status_of([&] { open_source(scratch.path("none")); }) == 5);
}

TEST_CASE("peeking takes nothing away") {
  const std::string text = "0123456789abcdefghij";
  PeekSource source(memory_source(as_bytes(text), "m"));
  const auto peeked = [&](std::size_t size) {
    const auto bytes = source.peek(size);
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  CHECK(peeked(4) == "0123");
  CHECK(peeked(2) == "01");
  CHECK(peeked(16) == "0123456789abcdef");
  std::byte three[3];
  CHECK(read_fully(source, three) == 3);
  CHECK(peeked(15) == "3456789abcdefgh");
  CHECK(peeked(64) == "3456789abcdefghij");
  CHECK(read_all(source, 100) == "3456789abcdefghij");
  CHECK(peeked(1).empty());
}

TEST_CASE("a mapped file shows its bytes and moves") {
  const Scratch scratch;
  MappedFile a(scratch.write("a", "content"));
  MappedFile b = std::move(a);
  CHECK(std::memcmp(b.bytes().data(), "content", 7) == 0);
  CHECK(a.bytes().empty());
  b = MappedFile(scratch.write("empty", ""));
  CHECK(b.bytes().empty());
  CHECK(b.path() == scratch.path("empty"));
}

TEST_CASE("a named file appears at commit, whole, and only then") {
  const Scratch scratch;
  const std::string path = scratch.path("a");
  {
    const auto sink = open_sink(path);
    sink->write(std::string(300'000, 'x'));
    sink->flush();
    CHECK(scratch.count() == 0);
  }
  CHECK(scratch.count() == 0);
  commit_text(path, "new");
  CHECK(scratch.read("a") == "new");
  CHECK(scratch.count() == 1);
  {
    const auto sink = open_sink(path);
    sink->write("newer");
  }
  CHECK(scratch.read("a") == "new");
  commit_text(path, "");
  CHECK(scratch.read("a").empty());
}

TEST_CASE("the mode is the umask's, or that of the file that is replaced; a link stays one") {
  const Scratch scratch;
  const mode_t umask_before = umask(027);
  commit_text(scratch.path("a"), "1");
  umask(umask_before);
  CHECK(mode_of(scratch.path("a")) == 0640);
  REQUIRE(chmod(scratch.path("a").c_str(), 0604) == 0);
  commit_text(scratch.path("a"), "2");
  CHECK(mode_of(scratch.path("a")) == 0604);

  fs::create_directory(scratch.path("folder"));
  scratch.write("folder/real", "old");
  fs::create_symlink("folder/real", scratch.path("link"));
  commit_text(scratch.path("link"), "new");
  CHECK(fs::is_symlink(scratch.path("link")));
  CHECK(scratch.read("folder/real") == "new");
}

TEST_CASE("a write-protected file is not replaced") {
  if (geteuid() == 0) {
    WARN("skipped: root may write to every file");
    return;
  }
  const Scratch scratch;
  scratch.write("a", "old");
  chmod(scratch.path("a").c_str(), 0444);
  CHECK(message_of([&] { open_sink(scratch.path("a")); }).ends_with("permission denied"));
}

TEST_CASE("devices and pipes are written as they are") {
  commit_text("/dev/null", "gone");
  CHECK(fs::is_character_file("/dev/null"));
  CHECK(message_of([] { commit_text("/dev/full", "x"); }) == "cannot write: '/dev/full': no space left on device");

  const Scratch scratch;
  REQUIRE(mkfifo(scratch.path("fifo").c_str(), 0600) == 0);
  const int reader = open(scratch.path("fifo").c_str(), O_RDONLY | O_NONBLOCK);
  const auto sink = open_sink(scratch.path("fifo"));
  sink->write("record");
  char buffer[16];
  CHECK(read(reader, buffer, sizeof buffer) < 0);  // still in the sink's buffer
  sink->flush();
  CHECK(read(reader, buffer, sizeof buffer) == 6);  // flushed per record
  sink->commit();
  close(reader);
}

TEST_CASE("standard output: flushed per record into a pipe, at commit into a file, and a full disk is seen") {
  const Scratch scratch;
  const auto redirected = [&](const std::string& path, const auto& action) {
    return in_child([&] {
      const int file = open(path.c_str(), O_WRONLY | O_CREAT, 0600);
      dup2(file, STDOUT_FILENO);
      return action();
    });
  };
  CHECK(redirected(scratch.path("out"), [&] {
          const auto sink = open_sink("-");
          sink->write("text");
          sink->flush();
          const bool is_buffered = scratch.read("out").empty();
          sink->commit();
          return is_buffered && scratch.read("out") == "text" ? 0 : 1;
        }) == 0);
  // A program that fails leaves what it had written, as it would in a pipe.
  CHECK(redirected(scratch.path("failed"), [&] {
          open_sink("-")->write("text");
          return scratch.read("failed") == "text" ? 0 : 1;
        }) == 0);
  const int full = redirected("/dev/full", [&] {
    const auto sink = open_sink("-");
    sink->write("text");
    sink->commit();
    return 0;
  });
  CHECK(WEXITSTATUS(full) == 5);
  const int closed = in_child([] {
    close(STDOUT_FILENO);
    commit_text("-", "text");
    return 0;
  });
  CHECK(WEXITSTATUS(closed) == 5);
}

TEST_CASE("a reader that went away kills quietly, also where the parent ignored SIGPIPE") {
  for (const auto handler : {SIG_DFL, SIG_IGN}) {
    const Scratch scratch;
    const int status = in_child([&] {
      std::signal(SIGPIPE, handler);
      sigset_t blocked;
      sigemptyset(&blocked);
      sigaddset(&blocked, SIGPIPE);
      if (handler == SIG_IGN) sigprocmask(SIG_BLOCK, &blocked, nullptr);
      int ends[2];
      if (pipe(ends) != 0) return 1;
      dup2(ends[1], STDOUT_FILENO);
      close(ends[0]);
      close(ends[1]);
      commit_text("-", "text");
      return 0;
    });
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGPIPE);
  }
}

TEST_CASE("killed while it writes, a program leaves nothing") {
  const Scratch scratch;
  const int status = in_child([&] {
    const auto sink = open_sink(scratch.path("a"));
    sink->write(std::string(1 << 20, 'x'));
    std::raise(SIGKILL);
    return 0;
  });
  CHECK(WIFSIGNALED(status));
  CHECK(scratch.count() == 0);
}

TEST_CASE("without O_TMPFILE a named temporary is used, and removed by the destructor or from a signal handler") {
  const Scratch scratch;
  {
    const Faults faults("open", 1, EOPNOTSUPP);
    const auto sink = open_sink(scratch.path("a"));
    sink->write("text");
    CHECK(scratch.count() == 1);
    sink->commit();
    CHECK(scratch.count() == 1);
    CHECK(scratch.read("a") == "text");
  }
  {
    const Faults faults("open", 1, EOPNOTSUPP);
    const auto sink = open_sink(scratch.path("b"));
    CHECK(scratch.count() == 2);
  }
  CHECK(scratch.count() == 1);
  in_child([&] {
    const Faults faults("open", 1, EOPNOTSUPP);
    const auto sink = open_sink(scratch.path("b"));
    remove_unfinished_files();
    std::raise(SIGKILL);
    return 0;
  });
  CHECK(scratch.count() == 1);
}

TEST_CASE("many sinks at once each keep their own file") {
  const Scratch scratch;
  std::vector<std::unique_ptr<Sink>> sinks;
  for (int i = 0; i < 12; ++i) {
    sinks.push_back(open_sink(scratch.path(std::to_string(i))));
    sinks.back()->write(std::to_string(i * i));
  }
  for (const auto& sink : sinks) sink->commit();
  for (int i = 0; i < 12; ++i) CHECK(scratch.read(std::to_string(i)) == std::to_string(i * i));
  CHECK(scratch.count() == 12);
}
