#include "io/cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "unit/io/faults.h"
#include "unit/io/samples.h"
#include "unit/io/scratch.h"

namespace uio {
namespace {

namespace fs = std::filesystem;
using test::Scratch;

struct ListeningHost : Host {
  void note(const std::string& line) override { notes.push_back(line); }
  void warn(const std::string& line) override { warnings.push_back(line); }
  void fail(const Error&) override {}
  void succeed() override {}
  void progress(std::uint64_t, std::uint64_t, const char*) override {}
  double seconds() override { return 0; }
  std::vector<std::string> notes, warnings;
};

std::string key_of(char digit) { return test::digits(digit); }
std::string path_of(const std::string& directory, const std::string& key) { return directory + "/" + key.substr(0, 2) + "/" + key.substr(2); }

void store(DiskCache& cache, const std::string& key, std::string_view text) {
  const std::span<const std::byte> parts[] = {test::as_bytes(text.substr(0, text.size() / 2)), test::as_bytes(text.substr(text.size() / 2))};
  cache.store(key, parts);
}

std::optional<std::string> find(DiskCache& cache, const std::string& key, std::uint64_t size) {
  const auto bytes = cache.find(key, size);
  if (!bytes) return std::nullopt;
  return std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size());
}

std::size_t files_in(const std::string& directory) {
  std::size_t count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) count += entry.is_regular_file();
  return count;
}

// Makes an entry look as if it was used `seconds` ago.
void age(const std::string& path, int seconds) {
  fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::seconds(seconds));
}

TEST_CASE("what is stored is found, under its key and with its size only") {
  const Scratch scratch;
  ListeningHost host;
  const std::string directory = scratch.path("a/b/cache");
  DiskCache cache(directory, 1 << 20, host);
  CHECK(!find(cache, key_of('1'), 5));
  store(cache, key_of('1'), "hello");
  store(cache, key_of('2'), "");
  CHECK(find(cache, key_of('1'), 5) == "hello");
  CHECK(find(cache, key_of('2'), 0) == "");
  CHECK(!find(cache, key_of('3'), 5));
  CHECK(DiskCache::holds(directory, key_of('1'), 5));
  CHECK(!DiskCache::holds(directory, key_of('1'), 6));
  CHECK(!DiskCache::holds(directory, key_of('3'), 5));
  CHECK(!DiskCache::holds(scratch.path("none"), key_of('1'), 5));
  CHECK(!fs::exists(scratch.path("none")));
  store(cache, key_of('1'), "there");
  CHECK(find(cache, key_of('1'), 5) == "there");
  CHECK(files_in(directory) == 2);
  DiskCache other(directory, 1 << 20, host);
  CHECK(find(other, key_of('1'), 5) == "there");
  CHECK(host.warnings.empty());
  CHECK(host.notes.empty());
  CHECK(!find(cache, key_of('1'), 6));  // not what it should be: damaged, and gone
  CHECK(host.notes.size() == 1);
  CHECK(!find(cache, key_of('1'), 5));
}

TEST_CASE("damage at any byte is found, told and made good") {
  const Scratch scratch;
  ListeningHost host;
  const std::string directory = scratch.path("cache"), path = path_of(directory, key_of('1'));
  DiskCache cache(directory, 1 << 20, host);
  store(cache, key_of('1'), "hello");
  const std::string good = scratch.read("cache/11/" + key_of('1').substr(2));
  REQUIRE(good.size() == 64 + 5);
  std::vector<std::string> damaged = {"", good + "x", std::string(100, '\0')};
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const char bit : {'\x01', '\x80'}) {
      damaged.push_back(good);
      damaged.back()[i] = static_cast<char>(damaged.back()[i] ^ bit);
    }
    damaged.push_back(good.substr(0, i));
  }
  for (const std::string& bytes : damaged) {
    host.notes.clear();
    scratch.write("cache/11/" + key_of('1').substr(2), bytes);
    if (DiskCache::holds(directory, key_of('1'), 5)) FAIL("held: " << bytes.size() << " bytes");
    if (!fs::exists(path)) FAIL("touched");
    if (find(cache, key_of('1'), 5)) FAIL("taken: " << bytes.size() << " bytes");
    REQUIRE(host.notes.size() == 1);
    CHECK(host.notes[0].find("damaged") != std::string::npos);
    CHECK(!fs::exists(path));
    store(cache, key_of('1'), "hello");
    CHECK(find(cache, key_of('1'), 5) == "hello");
  }
  // An entry under another one's name.
  store(cache, key_of('2'), "world");
  fs::copy_file(path_of(directory, key_of('2')), path, fs::copy_options::overwrite_existing);
  CHECK(!find(cache, key_of('1'), 5));
  // What is no file at all.
  REQUIRE(mkfifo(path.c_str(), 0666) == 0);
  CHECK(!find(cache, key_of('1'), 5));
  store(cache, key_of('1'), "hello");
  CHECK(find(cache, key_of('1'), 5) == "hello");
  CHECK(host.warnings.empty());
}

TEST_CASE("the entries that were not used for longest go first") {
  const Scratch scratch;
  ListeningHost host;
  const std::string directory = scratch.path("cache"), text(1000 - 64, 'x');
  DiskCache cache(directory, 4000, host);
  for (const char digit : {'1', '2', '3', '4'}) {
    store(cache, key_of(digit), text);
    age(path_of(directory, key_of(digit)), 100 - digit);
  }
  CHECK(files_in(directory) == 4);
  CHECK(find(cache, key_of('1'), text.size()));  // used now: 2 is the oldest
  store(cache, key_of('5'), text);
  CHECK(files_in(directory) == 4);
  CHECK(!fs::exists(path_of(directory, key_of('2'))));
  CHECK(fs::exists(path_of(directory, key_of('1'))));
  store(cache, key_of('6'), text);
  CHECK(!fs::exists(path_of(directory, key_of('3'))));
  // Files of others are none of ours.
  scratch.write("cache/keep", std::string(100000, 'x'));
  scratch.write("cache/11/keep", std::string(100000, 'x'));
  cache.trim();
  CHECK(files_in(directory) == 6);

  // A smaller bound holds at the end of the next run that stores.
  {
    DiskCache smaller(directory, 2000, host);
    store(smaller, key_of('7'), text);
  }
  CHECK(files_in(directory) == 4);
  CHECK(fs::exists(path_of(directory, key_of('7'))));

  // What is larger than all of it is told, once, and pushes out nothing.
  host.warnings.clear();
  DiskCache tiny(directory, 100, host);
  store(tiny, key_of('8'), text);
  store(tiny, key_of('9'), text);
  CHECK(host.warnings.size() == 1);
  CHECK(files_in(directory) == 4);
}

TEST_CASE("leftovers of dead processes go, those of living ones stay") {
  const Scratch scratch;
  ListeningHost host;
  const std::string directory = scratch.path("cache");
  fs::create_directories(directory + "/unfinished");
  scratch.write("cache/unfinished/123-0", "dead");
  scratch.write("cache/unfinished/readme", "not ours");
  scratch.write("cache/unfinished/123-1", "alive");
  const int alive = open((directory + "/unfinished/123-1").c_str(), O_WRONLY);
  REQUIRE(flock(alive, LOCK_EX) == 0);
  DiskCache first(directory, 1 << 20, host);
  CHECK(!fs::exists(directory + "/unfinished/123-0"));
  CHECK(fs::exists(directory + "/unfinished/123-1"));
  CHECK(fs::exists(directory + "/unfinished/readme"));
  close(alive);
  DiskCache second(directory, 1 << 20, host);
  CHECK(!fs::exists(directory + "/unfinished/123-1"));
  CHECK(host.warnings.empty());

  // A name that is taken, by a process of another machine with the same number, is passed over.
  const std::string taken = directory + "/unfinished/" + std::to_string(getpid()) + "-0";
  scratch.write("cache/unfinished/" + std::to_string(getpid()) + "-0", "its");
  store(second, key_of('1'), "hello");
  CHECK(find(second, key_of('1'), 5) == "hello");
  CHECK(fs::exists(taken));
}

TEST_CASE("a run goes on whatever call fails, and says so once") {
  for (const char* call : {"open", "write", "rename"}) {
    for (const int error : {ENOSPC, EIO, EACCES, EROFS}) {
      INFO(call << " " << error);
      const Scratch scratch;
      ListeningHost host;
      const std::string directory = scratch.path("cache");
      {
        DiskCache cache(directory, 1 << 20, host);
        store(cache, key_of('1'), "hello");
        {
          test::Faults faults(call, 1, error);
          store(cache, key_of('2'), "world");
          store(cache, key_of('3'), "never");
          CHECK(faults.was_hit());
        }
        CHECK(host.warnings.size() == 1);
        CHECK(!find(cache, key_of('2'), 5));
        CHECK(find(cache, key_of('1'), 5) == "hello");
      }
      CHECK(files_in(directory) == 1);  // nothing unfinished either
    }
  }
  for (const char* call : {"open", "fstat", "read"}) {
    INFO(call);
    const Scratch scratch;
    ListeningHost host;
    DiskCache cache(scratch.path("cache"), 1 << 20, host);
    store(cache, key_of('1'), "hello");
    {
      test::Faults faults(call, 1, EIO);
      CHECK(!find(cache, key_of('1'), 5));
      CHECK(faults.was_hit());
    }
    CHECK(host.warnings.size() == 1);
    CHECK(find(cache, key_of('1'), 5) == "hello");
  }
  // One byte at a time, and interrupted.
  for (const char* call : {"read", "write", "open", "flock", "fstat", "rename"}) {
    const Scratch scratch;
    ListeningHost host;
    DiskCache cache(scratch.path("cache"), 1 << 20, host);
    for (const int error : {test::Faults::kShort, EINTR}) {
      if (error == test::Faults::kShort && std::string(call) != "read" && std::string(call) != "write") continue;
      test::Faults faults(call, 1, error);
      store(cache, key_of('1'), "hello");
      CHECK(find(cache, key_of('1'), 5) == "hello");
      CHECK(faults.was_hit());
    }
    CHECK(host.warnings.empty());
  }
}

TEST_CASE("a cache that cannot be made is refused by name") {
  const Scratch scratch;
  ListeningHost host;
  scratch.write("file", "");
  CHECK(test::status_of([&] { DiskCache(scratch.path("file"), 1, host); }) == 5);
  CHECK(test::message_of([&] { DiskCache(scratch.path("file/cache"), 1, host); }).find(scratch.path("file/cache")) != std::string::npos);
}

TEST_CASE("several processes share a cache") {
  const Scratch scratch;
  const std::string directory = scratch.path("cache");
  std::vector<pid_t> children;
  for (int child = 0; child < 4; ++child) {
    const pid_t id = fork();
    if (id == 0) {
      ListeningHost host;
      bool is_good = true;
      {
        DiskCache cache(directory, 20000, host);
        std::mt19937 random(static_cast<unsigned>(child));
        for (int i = 0; i < 400; ++i) {
          const char digit = "0123456789abcdef"[random() % 16];
          const std::string text(1000, digit);
          if (const auto found = find(cache, key_of(digit), text.size())) is_good = is_good && *found == text;
          else store(cache, key_of(digit), text);
        }
      }
      _exit(is_good && host.warnings.empty() && host.notes.empty() ? 0 : 1);
    }
    children.push_back(id);
  }
  for (const pid_t child : children) {
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
  CHECK(files_in(directory) <= 18);
  CHECK(fs::is_empty(directory + "/unfinished"));
}

}  // namespace
}  // namespace uio
