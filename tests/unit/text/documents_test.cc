#include "text/documents.h"

#include <cstring>
#include <utility>

#include "unit/text/fixtures.h"

using namespace uio;
using namespace text_test;

namespace {

// Hands out at most `step` bytes at a time.
class DrippingSource : public Source {
 public:
  DrippingSource(std::string bytes, std::size_t step) : bytes_(std::move(bytes)), step_(step) {}
  std::size_t read(std::span<std::byte> buffer) override {
    const std::size_t size = std::min({step_, buffer.size(), bytes_.size() - at_});
    std::memcpy(buffer.data(), bytes_.data() + at_, size);
    at_ += size;
    return size;
  }
  const std::string& name() const override { return name_; }

 private:
  std::string bytes_, name_ = "in.txt";
  std::size_t step_, at_ = 0;
};

using Documents = std::vector<std::pair<std::string, std::string>>;

Documents read(const std::string& bytes, DocumentUnit unit, std::size_t step = 1 << 20) {
  DrippingSource source(bytes, step);
  const auto reader = read_documents(source, {unit, false});
  Documents documents;
  while (const auto id = reader->next_document()) {
    documents.emplace_back(*id, "");
    for (std::string piece = reader->next_piece(); !piece.empty(); piece = reader->next_piece()) {
      if (unit != DocumentUnit::kJsonLine && piece.size() > 65536) FAIL("a piece of " << piece.size());
      documents.back().second += piece;
    }
    CHECK(reader->next_piece().empty());
  }
  CHECK(!reader->next_document());
  return documents;
}

}  // namespace

TEST_CASE("a file is one document, whatever is in it") {
  CHECK(read("", DocumentUnit::kFile) == Documents{{"in.txt", ""}});
  const std::string bytes = "\xEF\xBB\xBF a\r\n\xFF" + std::string(200000, '\0');
  for (const std::size_t step : {1, 1000, 1 << 20})
    CHECK(read(bytes, DocumentUnit::kFile, step) == Documents{{"in.txt", bytes}});
}

TEST_CASE("lines are documents without their newline") {
  for (const std::size_t step : {1, 2, 3, 1 << 20}) {
    CHECK(read("", DocumentUnit::kLine, step).empty());
    CHECK(read("a", DocumentUnit::kLine, step) == Documents{{"in.txt:1", "a"}});
    CHECK(read("a\n", DocumentUnit::kLine, step) == Documents{{"in.txt:1", "a"}});
    CHECK(read("\n", DocumentUnit::kLine, step) == Documents{{"in.txt:1", ""}});
    CHECK(read("a\r\n\n b\n\nc", DocumentUnit::kLine, step) ==
          Documents{{"in.txt:1", "a\r"}, {"in.txt:2", ""}, {"in.txt:3", " b"}, {"in.txt:4", ""}, {"in.txt:5", "c"}});
  }
  const std::string line(150000, 'x');
  CHECK(read(line + "\n" + line, DocumentUnit::kLine) == Documents{{"in.txt:1", line}, {"in.txt:2", line}});
}

TEST_CASE("what is left of a line is passed over") {
  DrippingSource source(std::string(100000, 'x') + "\nsecond\n", 1000);
  const auto reader = read_documents(source, {DocumentUnit::kLine, false});
  CHECK(reader->next_document() == "in.txt:1");
  CHECK(!reader->next_piece().empty());
  CHECK(reader->next_document() == "in.txt:2");
  CHECK(reader->next_piece() == "second");
}

TEST_CASE("JSON lines have their ids, or a place") {
  const std::string bytes =
      "{\"id\":\"one\",\"text\":\"a\\u00e9\\n\"}\n\n  "
      "\t\r\n{\"text\":\"\",\"more\":[1]}\n{\"id\":42,\"text\":\"x\"}\r\n{\"id\":null,\"text\":\"y\"}";
  for (const std::size_t step : {1, 1 << 20}) {
    CHECK(read(bytes, DocumentUnit::kJsonLine, step) ==
          Documents{{"one", "aé\n"}, {"in.txt:4", ""}, {"42", "x"}, {"in.txt:6", "y"}});
  }
  CHECK(read("", DocumentUnit::kJsonLine).empty());
}

TEST_CASE("documents with and without weights may follow each other") {
  DrippingSource source("{\"prompt\":\"a\",\"response\":\"b\"}\n{\"text\":\"c\"}\n{\"parts\":[{\"text\":\"d\",\"weight\":9}]}",
                        3);
  const auto reader = read_documents(source, {DocumentUnit::kJsonLine, false});
  CHECK(reader->next_document() == "in.txt:1");
  CHECK(reader->weighting() == Weighting{{{1, 0}, {2, 1}}, true});
  CHECK(reader->next_piece() == "ab");
  CHECK(reader->weighting() == Weighting{{{1, 0}, {2, 1}}, true});
  CHECK(reader->next_document() == "in.txt:2");
  CHECK(!reader->weighting());
  CHECK(reader->next_document() == "in.txt:3");
  CHECK(reader->weighting() == Weighting{{{1, 9}}, false});
  CHECK(reader->next_piece() == "d");
  DrippingSource line("a", 1);
  const auto plain = read_documents(line, {DocumentUnit::kLine, false});
  plain->next_document();
  CHECK(!plain->weighting());
}

TEST_CASE("wrong JSON lines are refused with their line") {
  for (const std::string line : {"{\"text\":1}", "[]", "{}", "{\"text\":\"a\"", "{\"text\":\"a\",\"text\":\"b\"}",
                                 "{\"id\":1.5,\"text\":\"a\"}", "{\"id\":[],\"text\":\"a\"}", "{\"text\":\"\xFF\"}", "plain",
                                 "{\"prompt\":\"a\"}", "{\"parts\":[{\"text\":\"a\",\"weight\":-1}]}"}) {
    INFO(line);
    const Error error = error_of([&] { read("{\"text\":\"fine\"}\n" + line + "\n", DocumentUnit::kJsonLine); });
    CHECK(error.kind() == ErrorKind::kData);
    CHECK(error.subject() == "in.txt:2");
  }
}
