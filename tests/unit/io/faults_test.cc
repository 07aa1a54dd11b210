// Every system call of lib/io fails once, at every place where it is made.
#include <cerrno>

#include "io/file.h"
#include "io/mapped_names.h"
#include "io/path.h"
#include "io/prepared_sink.h"
#include "io/safetensors.h"
#include "io/train_state.h"
#include "unit/io/faults.h"
#include "unit/io/samples.h"
#include "unit/io/scratch.h"

using namespace uio;
using namespace uio::test;

namespace {

std::vector<Record> many_records() {
  std::vector<Record> records;
  for (std::uint64_t i = 0; i < 40; ++i) {
    Segment segment = small_segment(i);
    segment.text = std::string(10'000, 'a');
    for (std::size_t j = 0; j < segment.text.size(); ++j) segment.text[j] = static_cast<char>(j * j * 31 >> 3);
    segment.span.byte_end = segment.span.byte_begin + segment.text.size();
    records.push_back(segment);
  }
  return records;
}

void write_file(const std::string& path, const std::vector<Record>& records) {
  const auto sink = open_sink(path);
  RecordWriter writer(*sink, small_provenance());
  for (const Record& record : records) writer.write(record);
  writer.finish();
  sink->commit();
}

std::vector<Record> read_file(const std::string& path) {
  const auto source = open_source(path);
  RecordReader reader(*source);
  std::vector<Record> records;
  while (auto record = reader.next()) records.push_back(std::move(*record));
  return records;
}

}  // namespace

TEST_CASE("interrupted and short calls change nothing") {
  const Scratch scratch;
  const auto records = many_records();
  for (const char* call : {"open", "read", "write", "close", "duplicate", "stat", "fstat", "access", "fchmod", "fsync", "linkat", "rename"}) {
    for (const int error : {EINTR, Faults::kShort}) {
      if (error == Faults::kShort && std::string(call) != "read" && std::string(call) != "write") continue;
      bool hit = true;
      for (int nth = 1; hit; ++nth) {
        const std::string path = scratch.path("a.uio");
        const Faults faults(call, nth, error);
        write_file(path, records);
        CAPTURE(call, error, nth);
        REQUIRE(same(read_file(path), records));
        hit = faults.was_hit();
      }
    }
  }
  CHECK(scratch.count() == 1);
}

TEST_CASE("a failing write leaves the old file and nothing else") {
  const auto records = many_records();
  for (const char* call : {"write", "fsync", "rename", "linkat", "close", "fchmod", "stat", "fstat", "access", "duplicate"}) {
    for (const int error : {ENOSPC, EIO}) {
      bool hit = true;
      for (int nth = 1; hit; ++nth) {
        const Scratch scratch;
        scratch.write("a.uio", "old");
        CAPTURE(call, error, nth);
        int status = 0;
        {
          const Faults faults(call, nth, error);
          status = status_of([&] { write_file(scratch.path("a.uio"), records); });
          hit = faults.was_hit();
        }
        CHECK(scratch.count() == 1);
        if (status == 0) {
          // Nothing is lost when the folder, which was only synced, cannot be closed; without /proc the file has a name from the start.
          const bool is_harmless = (std::string(call) == "close" && nth == 2) || (std::string(call) == "access" && nth == 2);
          CHECK((!hit || is_harmless));
          CHECK(same(read_file(scratch.path("a.uio")), records));
        } else {
          CHECK(status == 5);
          // After the rename only the folder's fsync is left, and the new file is whole.
          const std::string content = scratch.read("a.uio");
          const bool is_synced_late = std::string(call) == "fsync" || std::string(call) == "close";
          CHECK((content == "old" || (is_synced_late && same(read_file(scratch.path("a.uio")), records))));
        }
      }
    }
  }
}

TEST_CASE("a failing open falls back to a named temporary or is reported, nothing stays") {
  const Scratch scratch;
  bool hit = true;
  for (int nth = 1; hit; ++nth) {
    int status = 0;
    {
      const Faults faults("open", nth, EIO);
      status = status_of([&] { write_file(scratch.path("a.uio"), {small_segment()}); });
      hit = faults.was_hit();
    }
    // The first may fail for want of O_TMPFILE; the second is the folder's, for its fsync.
    CHECK(status == (nth == 2 ? 5 : 0));
    CHECK(scratch.count() == 1);
    CHECK(same(read_file(scratch.path("a.uio")), {small_segment()}));
  }
}

TEST_CASE("a failing read is status 5, never a shorter stream") {
  const Scratch scratch;
  write_file(scratch.path("a.uio"), many_records());
  for (const char* call : {"open", "read", "fstat"}) {
    bool hit = true;
    for (int nth = 1; hit; ++nth) {
      const Faults faults(call, nth, EIO);
      const int status = status_of([&] { read_file(scratch.path("a.uio")); });
      hit = faults.was_hit();
      CAPTURE(call, nth);
      CHECK(status == (hit ? 5 : 0));
    }
  }
  const Faults faults("open", 1, EMFILE);
  CHECK(message_of([&] { read_file(scratch.path("a.uio")); }).ends_with("a.uio': too many open files"));
}

TEST_CASE("files that are prepared together: none appears before all are on the disk") {
  const char* const names[] = {"a", "b", "c"};
  const auto write_all = [&](const Scratch& scratch) {
    std::vector<std::unique_ptr<PreparedSink>> sinks;
    for (const char* name : names) {
      sinks.push_back(open_file_sink(scratch.path(name)));
      sinks.back()->write(std::string("new ") + name);
    }
    for (const auto& sink : sinks) sink->prepare();
    for (const auto& sink : sinks) sink->commit();
  };
  for (const char* call : {"write", "fsync", "linkat", "close"}) {
    bool hit = true;
    for (int nth = 1; hit; ++nth) {
      const Scratch scratch;
      for (const char* name : names) scratch.write(name, "old");
      int status = 0;
      {
        const Faults faults(call, nth, EIO);
        status = status_of([&] { write_all(scratch); });
        hit = faults.was_hit();
      }
      CAPTURE(call, nth);
      CHECK(scratch.count() == 3);
      // The first three calls belong to the files; what comes after, to the folder once a name is given.
      for (const char* name : names) {
        if (hit && nth <= 3) CHECK(scratch.read(name) == "old");
        if (!hit) CHECK(scratch.read(name) == std::string("new ") + name);
      }
      CHECK(status == (hit && (nth <= 3 || std::string(call) == "fsync") ? 5 : 0));
    }
  }
}

TEST_CASE("what cannot be looked at is not absent") {
  const Scratch scratch;
  const std::string there = scratch.write("a", "");
  CHECK(path_exists(there));
  CHECK(path_exists(scratch.path("")));
  CHECK(!path_exists(scratch.path("b")));
  CHECK(!path_exists(there + "/b"));
  for (const int error : {EIO, EACCES, ELOOP}) {
    const Faults faults("stat", 1, error);
    CHECK(status_of([&] { path_exists(there); }) == 5);
  }
  const Faults faults("stat", 1, EINTR);
  CHECK(path_exists(there));
}

TEST_CASE("a state and tensors that cannot be mapped, or not be written, are status 5 and leave what was there") {
  const float weight[] = {1, 2};
  const auto bytes = std::as_bytes(std::span(weight));
  const StateTensor tensors[] = {{"weight", "F32", {2}, bytes}};
  const auto write_state = [&](const std::string& path) {
    const auto sink = open_sink(path);
    write_train_state(*sink, Json::object(), tensors);
    sink->commit();
  };
  for (const char* call : {"open", "fstat", "mmap"}) {
    const Scratch scratch;
    write_state(scratch.path("state"));
    CAPTURE(call);
    const Faults faults(call, 1, ENOMEM);
    CHECK(status_of([&] { TrainStateFile file(scratch.path("state")); }) == 5);
    CHECK(faults.was_hit());
  }
  for (const char* call : {"open", "write", "fsync", "linkat", "rename"}) {
    const Scratch scratch;
    scratch.write("state", "old");
    bool hit = true;
    for (int nth = 1; hit; ++nth) {
      int status = 0;
      {
        const Faults faults(call, nth, ENOSPC);
        status = status_of([&] { write_state(scratch.path("state")); });
        hit = faults.was_hit();
      }
      CAPTURE(call, nth);
      CHECK((status == 0 || (status == 5 && hit)));
      CHECK(scratch.count() == 1);
      if (scratch.read("state") == "old") {
        CHECK(status == 5);
      } else {
        CHECK(TrainStateFile(scratch.path("state")).tensors().at("weight").bytes.size() == 8);
      }
    }
  }
}

TEST_CASE("a failing map is status 5") {
  const Scratch scratch;
  scratch.write("a", "content");
  for (const char* call : {"open", "fstat", "mmap"}) {
    const Faults faults(call, 1, ENOMEM);
    CHECK(status_of([&] { MappedFile file(scratch.path("a")); }) == 5);
  }
  const Faults faults("open", 1, EINTR);
  CHECK(MappedFile(scratch.path("a")).bytes().size() == 7);
}

TEST_CASE("an address of a mapped file tells its name") {
  const Scratch scratch;
  scratch.write("a\n", std::string(10'000, 'x'));
  const std::byte* inside = nullptr;
  {
    MappedFile first(scratch.path("a\n"));
    MappedFile file = std::move(first);
    inside = file.bytes().data();
    const char* const name = mapped_name_at(inside + 9'999);
    REQUIRE(name != nullptr);
    CHECK(std::string(name).ends_with("a\\x0a'"));
    CHECK(mapped_name_at(inside) == name);
    CHECK(mapped_name_at(inside + 10'000) == nullptr);
    CHECK(mapped_name_at(&scratch) == nullptr);
  }
  CHECK(mapped_name_at(inside) == nullptr);
  // More maps than there are places for names.
  std::vector<MappedFile> many;
  for (int i = 0; i < 300; ++i) many.emplace_back(scratch.path("a\n"));
  CHECK(mapped_name_at(many.front().bytes().data()) != nullptr);
  CHECK(mapped_name_at(many.back().bytes().data()) == nullptr);
  many.clear();
  many.emplace_back(scratch.path("a\n"));
  CHECK(mapped_name_at(many.back().bytes().data()) != nullptr);
}
