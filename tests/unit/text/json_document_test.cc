// The forms of a JSON line, and the lines that have none.
#include "text/json_document.h"

#include "unit/text/fixtures.h"

using namespace uio;
using namespace text_test;

namespace {

JsonDocument parse(const std::string& line) { return parse_json_document(line, "in:7"); }

using Parts = std::vector<Weighting::Part>;

}  // namespace

TEST_CASE("a line with a text alone has no weights") {
  const JsonDocument document = parse(R"({"id":"a","text":"words","weight":3})");
  CHECK(document.id == "a");
  CHECK(document.text == "words");
  CHECK(!document.weighting);
}

TEST_CASE("a prompt has weight 0, its response and the end 1") {
  const JsonDocument document = parse(R"({"prompt":"Whé?","response":" She."})");
  CHECK(document.id == "in:7");
  CHECK(document.text == "Whé? She.");
  CHECK(document.weighting == Weighting{{{5, 0}, {10, 1}}, true});
  CHECK(parse(R"({"prompt":"","response":"x"})").weighting == Weighting{{{1, 1}}, true});
  CHECK(parse(R"({"prompt":"x","response":""})").weighting == Weighting{{{1, 0}}, true});
  CHECK(parse(R"({"prompt":"","response":""})").weighting == Weighting{{}, true});
}

TEST_CASE("parts have their weights, 1 where none is given; empty ones leave no trace") {
  const JsonDocument document = parse(
      R"({"parts":[{"text":"a","weight":0},{"text":""},{"text":"bc","weight":255,"role":"x"},{"text":"d"},{"text":"e","weight":1}]})");
  CHECK(document.text == "abcde");
  CHECK(document.weighting == Weighting{{{1, 0}, {3, 255}, {5, 1}}, false});
  CHECK(parse(R"({"parts":[]})").weighting == Weighting{});
}

TEST_CASE("a line that is no document is refused, naming the key") {
  const std::vector<std::pair<std::string, std::string>> lines = {
      {R"({"id":1})", R"(it has no "text", no "prompt" and "response", and no "parts")"},
      {R"({"text":"a","prompt":"b"})", R"(it has both "text" and "prompt")"},
      {R"({"text":"a","response":"b"})", R"(it has both "text" and "response")"},
      {R"({"text":"a","parts":[]})", R"(it has both "text" and "parts")"},
      {R"({"parts":[],"prompt":"a","response":"b"})", R"(it has both "parts" and "prompt")"},
      {R"({"prompt":"a"})", R"(it has a "prompt" but no "response")"},
      {R"({"response":"a"})", R"(it has a "response" but no "prompt")"},
      {R"({"prompt":1,"response":"b"})", R"(its "prompt" is not a string)"},
      {R"({"prompt":"a","response":null})", R"(its "response" is not a string)"},
      {R"({"text":["a"]})", R"(its "text" is not a string)"},
      {R"({"parts":{}})", R"(its "parts" is not a list)"},
      {R"({"parts":["a"]})", R"(part 1 of its "parts": it is not an object)"},
      {R"({"parts":[{"text":"a"},{"weight":1}]})", R"(part 2 of its "parts": "text" is missing)"},
      {R"({"parts":[{"text":1}]})", R"(part 1 of its "parts": "text" is not a string)"},
      {R"({"id":true,"text":"a"})", R"(its "id" is neither a string nor an integer)"},
      {"[]", "the line is not a JSON object"},
  };
  for (const auto& [line, reason] : lines) {
    INFO(line);
    const Error error = error_of([&] { parse(line); });
    CHECK(error.kind() == ErrorKind::kData);
    CHECK(error.subject() == "in:7");
    CHECK(error.reason() == reason);
  }
  for (const std::string weight : {"256", "-1", "1.0", "1e0", "\"1\"", "true", "null", "[1]", "18446744073709551615",
                                   "18446744073709551617", "4294967296"}) {
    INFO(weight);
    const Error error = error_of([&] { parse(R"({"parts":[{"text":"a","weight":)" + weight + "}]}"); });
    CHECK(error.kind() == ErrorKind::kData);
    CHECK(error.reason().starts_with(R"(part 1 of its "parts": "weight" is )"));
  }
}
