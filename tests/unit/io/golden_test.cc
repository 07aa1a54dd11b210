// The golden streams: what version 1 was able to read and had to refuse, for ever.
#include "golden/stream/cases.h"

#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "io/json.h"
#include "io/listing.h"
#include "unit/io/samples.h"
#include "unit/io/source_tree.h"

using namespace uio;
using namespace uio::test;
namespace fs = std::filesystem;

namespace {

std::string read_text(const std::string& path) { return read_all(*open_source(path), 1 << 24); }

// The records of a stream as JSON Lines: every field, the text, the tokens, and the tensors' hashes.
std::string describe(std::string_view stream) {
  std::string lines;
  for (const Record& record : read_stream(stream)) {
    Json line;
    if (const auto* segment = std::get_if<Segment>(&record)) {
      line = describe_record(record, static_cast<std::uint32_t>(segment->tokens.size()), segment->scored_count(), true);
      line["text"] = segment->text;
    } else {
      const Memory& memory = std::get<Memory>(record);
      line = describe_record(record, memory.token_count, {}, false);
      line["keys_sha256"] = sha256_hex(memory.keys);
      line["values_sha256"] = sha256_hex(memory.values);
    }
    lines += to_json_line(line) + "\n";
  }
  return lines;
}

void write_if_missing(const std::string& path, const std::string& content) {
  if (!fs::exists(path)) std::ofstream(path, std::ios::binary) << content;
}

std::string folder() { return source_path("tests/golden/stream/v1/"); }

}  // namespace

TEST_CASE("golden streams are written on request", "[golden]") {
  if (std::getenv("UIO_UPDATE_GOLDEN") == nullptr) return;
  fs::create_directories(folder() + "pass");
  fs::create_directories(folder() + "fail");
  for (const GoldenStream& stream : golden_streams()) {
    if (stream.status == 0) {
      write_if_missing(folder() + "pass/" + stream.name + ".uio", stream.bytes);
      write_if_missing(folder() + "pass/" + stream.name + ".jsonl", describe(stream.bytes));
    } else {
      write_if_missing(folder() + "fail/" + stream.name + ".uio", stream.bytes);
      write_if_missing(folder() + "fail/" + stream.name + ".status", std::to_string(stream.status) + "\n");
    }
  }
}

TEST_CASE("every stream in pass/ reads as its twin says", "[golden]") {
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator(folder() + "pass")) {
    if (entry.path().extension() != ".uio") continue;
    CAPTURE(entry.path().filename());
    CHECK(describe(read_text(entry.path())) == read_text(fs::path(entry.path()).replace_extension(".jsonl")));
    ++count;
  }
  CHECK(count >= 12);
}

TEST_CASE("every stream in fail/ is refused with its status", "[golden]") {
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator(folder() + "fail")) {
    if (entry.path().extension() != ".uio") continue;
    CAPTURE(entry.path().filename());
    CHECK(stream_status(read_text(entry.path())) == std::stoi(read_text(fs::path(entry.path()).replace_extension(".status"))));
    ++count;
  }
  CHECK(count >= 24);
}

TEST_CASE("the writer still makes the golden bytes, and none is missing", "[golden]") {
  for (const GoldenStream& stream : golden_streams()) {
    CAPTURE(stream.name);
    const std::string path = folder() + (stream.status == 0 ? "pass/" : "fail/") + stream.name + ".uio";
    REQUIRE(fs::exists(path));
    // Another version of zstd may compress otherwise; it must read the same, which the tests above check.
    if (ZSTD_versionNumber() == 10504) CHECK((read_text(path) == stream.bytes));
  }
}
