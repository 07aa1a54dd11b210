// The hex dumps of uio-stream(5) and uio-memory(5): read from the page, decoded, and written again.
#include <fstream>

#include "base/hex.h"
#include "golden/stream/cases.h"
#include "unit/io/samples.h"
#include "unit/io/source_tree.h"

using namespace uio;
using namespace uio::test;

namespace {

std::string read_page(const std::string& name) { return read_all(*open_source(source_path("man/" + name)), 1 << 20); }

bool is_dump_line(const std::string& line) {
  return line.size() > 10 && line.find(": ") == 8 && from_hex(line.substr(0, 8)).has_value();
}

// The lines of `xxd`, without backslashes, which mdoc would take for its own.
std::string dump(const std::string& bytes) {
  std::string lines;
  for (std::size_t at = 0; at < bytes.size(); at += 16) {
    const std::string row = bytes.substr(at, 16);
    char offset[24];
    std::snprintf(offset, sizeof offset, "%08zx:", at);
    std::string line = offset, text;
    for (std::size_t i = 0; i < 16; ++i) {
      if (i % 2 == 0) line += ' ';
      line += i < row.size() ? to_hex(as_bytes(row.substr(i, 1))) : "  ";
      if (i < row.size()) text += row[i] > ' ' && row[i] <= '~' && row[i] != '\\' ? row[i] : '.';
    }
    lines += line + "  " + text + "\n";
  }
  return lines;
}

// The bytes that the page's dump stands for.
std::string undump(const std::string& page) {
  std::string bytes;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (!is_dump_line(line)) continue;
    CHECK(std::stoul(line.substr(0, 8), nullptr, 16) == bytes.size());
    std::string digits;
    for (const char c : line.substr(10, 39)) {
      if (c != ' ') digits += c;
    }
    const auto row = from_hex(digits);
    REQUIRE(row);
    bytes.append(reinterpret_cast<const char*>(row->data()), row->size());
  }
  return bytes;
}

void update(const std::string& name, const std::string& bytes) {
  std::string page;
  std::istringstream lines(read_page(name));
  bool is_example = false;
  for (std::string line; std::getline(lines, line);) {
    if (is_dump_line(line)) continue;
    page += line + "\n";
    is_example = is_example || line == ".Sh EXAMPLES";
    if (is_example && line == ".Bd -literal") page += dump(bytes);
  }
  std::ofstream(source_path("man/" + name), std::ios::binary) << page;
}

void check_page(const std::string& name, const std::vector<Record>& records, const Provenance& provenance) {
  const std::string bytes = make_stream(records, provenance);
  if (std::getenv("UIO_UPDATE_GOLDEN") != nullptr) update(name, bytes);
  const std::string shown = undump(read_page(name));
  CHECK(same(read_stream(shown), records));
  CHECK((shown == bytes));
  const auto source = memory_source(as_bytes(shown), name);
  RecordReader reader(*source);
  reader.next();
  CHECK(reader.provenance().size() == provenance.size());
}

}  // namespace

TEST_CASE("the dump in uio-stream(5) is the stream it describes", "[golden]") {
  check_page("uio-stream.5", stream_page_records(), small_provenance());
}

TEST_CASE("the dump in uio-memory(5) is the blob it describes, its payload where the page says", "[golden]") {
  check_page("uio-memory.5", memory_page_records(), memory_page_provenance());
  const std::string page = read_page("uio-memory.5"), shown = undump(page);
  const auto at = page.find("payload begins at byte ");
  REQUIRE(at != std::string::npos);
  const std::size_t payload = std::stoul(page.substr(at + 23));
  CHECK(to_hex(as_bytes(shown.substr(payload, 4))) == "28b52ffd");
  CHECK(shown.find(std::string("\x7f\x7e\x80\x80", 4)) > payload);
  CHECK(shown.find(std::string("\x7f\x7e\x80\x80", 4)) < payload + 16);
}
