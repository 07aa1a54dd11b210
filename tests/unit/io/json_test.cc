#include "io/json.h"

#include "unit/io/samples.h"
#include "unit/io/scratch.h"

using namespace uio;
using namespace uio::test;

namespace {

std::string refusal(std::string_view text) {
  std::string message = message_of([&] { parse_json(text, "a.json"); });
  const std::string prefix = "cannot read: 'a.json': ";
  if (!message.empty()) CHECK(message.starts_with(prefix));
  return message.empty() ? "" : message.substr(prefix.size());
}

}  // namespace

TEST_CASE("JSON is read as nlohmann reads it") {
  for (const char* text : {"{}", "[]", "null", "true", "-1", "18446744073709551615", "1.5e3", "\"a\\u00e9\\ud83e\\udd8a\"",
                           R"({"a":[1,-2,{"b":null}],"c":{"a":false},"d":[[],{}]})", " [1 , 2]\n"}) {
    CAPTURE(text);
    CHECK(parse_json(text, "a.json") == Json::parse(text));
  }
}

TEST_CASE("duplicate keys are refused at every depth, equal keys in other objects are not") {
  CHECK(refusal(R"({"a":1,"b":2,"a":3})") == "key 'a' is given twice");
  CHECK(refusal(R"([{"x":{"a":1,"a":1}}])") == "key 'a' is given twice");
  CHECK(refusal(R"({"a":1,"\u0061":3})") == "key 'a' is given twice");
  CHECK(refusal(R"({"a":{"a":1},"b":[{"a":2},{"a":3}]})") == "");
}

TEST_CASE("nesting beyond 64 levels is refused, however deep") {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(refusal(nested(64)) == "");
  CHECK(refusal(nested(65)) == "is nested deeper than 64 levels");
  CHECK(refusal(std::string(1'000'000, '[')) == "is nested deeper than 64 levels");
  std::string objects;
  for (int i = 0; i < 65; ++i) objects += "{\"a\":";
  CHECK(refusal(objects) == "is nested deeper than 64 levels");
}

TEST_CASE("what is not JSON is refused with its place") {
  for (const char* bad : {"", "{", "[1,]", "{\"a\"}", "{a:1}", "nul", "1 2", "{} x", "\"\xff\"", "\"\\ud800\"", "\"a\nb\"",
                          "1e999", "-", "01", "NaN", "// c\n1"}) {
    CAPTURE(bad);
    CHECK(refusal(bad).starts_with("is not valid JSON at byte "));
    CHECK(refusal(bad).find("json.exception") == std::string::npos);
  }
}

TEST_CASE("a file of JSON names itself") {
  const Scratch scratch;
  CHECK(read_json(scratch.write("good.json", "{\"a\": 1}"))["a"] == 1);
  const std::string bad = scratch.write("bad.json", "{\"a\": }");
  CHECK(message_of([&] { read_json(bad); }).starts_with("cannot read: '" + bad + "': is not valid JSON at byte"));
  CHECK(status_of([&] { read_json(bad); }) == 3);
  CHECK(status_of([&] { read_json(scratch.path("none.json")); }) == 5);
}

TEST_CASE("lines are one line, and never fail for bytes that are not UTF-8") {
  CHECK(to_json_line({{"text", "a\nb"}}) == "{\"text\":\"a\\nb\"}");
  CHECK(to_json_line(std::string("a\xff")) == "\"a\xef\xbf\xbd\"");
  CHECK(to_json_line(0.1) == "0.1");
}
