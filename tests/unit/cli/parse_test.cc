#include "cli/parse.h"

#include <catch2/catch.hpp>

#include "base/error.h"

using namespace uio;
using namespace uio::cli;

namespace {

Settings parse(Program program, std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "anything");
  return parse_arguments(program, static_cast<int>(arguments.size()), arguments.data());
}

std::string misuse(Program program, std::vector<const char*> arguments) {
  try {
    parse(program, std::move(arguments));
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kUsage);
    return error.what();
  }
  return "taken";
}

using Words = std::vector<std::string>;
using Pairs = std::vector<std::pair<std::string, std::string>>;

}  // namespace

TEST_CASE("options and operands mix in every spelling") {
  const Settings settings = parse(kCompress, {"a", "-qv", "-ofile", "-", "--batch=4", "-m", "model", "--level", "3", "b"});
  CHECK(settings.operands == Words{"a", "-", "b"});
  CHECK(settings.quiet);
  CHECK(settings.verbose);
  CHECK(settings.output == "file");
  CHECK(settings.compress.batch == 4);
  CHECK(settings.compress.level == 3);
  CHECK(settings.choice.model == "model");
  CHECK(parse(kCompress, {"-qvo", "file"}).output == "file");
}

TEST_CASE("two dashes end the options") {
  const Settings settings = parse(kSegment, {"-q", "--", "-v", "--", "--level=3", "a"});
  CHECK(settings.operands == Words{"-v", "--", "--level=3", "a"});
  CHECK_FALSE(settings.verbose);
}

TEST_CASE("the last repetition wins, lists grow") {
  CHECK(parse(kSegment, {"--level", "1", "-o", "a", "--level=2", "-ob"}).segment.level == 2);
  CHECK(parse(kSegment, {"-o", "a", "-ob"}).output == "b");
  CHECK(parse(kDecode, {"--stop", "a", "--stop", "b", "--stop=a"}).decode.sampling.stop == Words{"a", "b", "a"});
  CHECK(parse(kInspect, {"--document", "x", "--document=y"}).inspect.documents == Words{"x", "y"});
  CHECK(parse(kScore, {"--context", "none", "--context", "full,memory"}).score.contexts == Words{"full", "memory"});
  const Settings file_last = parse(kDecode, {"-p", "a", "-f", "b"});
  CHECK(file_last.decode.prompt.empty());
  CHECK(file_last.prompt_file == "b");
  const Settings text_last = parse(kDecode, {"-f", "b", "-p", "a"});
  CHECK(text_last.decode.prompt == "a");
  CHECK(text_last.prompt_file.empty());
}

TEST_CASE("values are taken as they are") {
  for (const char* text :
       {"", "-", "--", "-h", "--help", "-3", "{}", "[a,b]", "a=b", "=", "%%", "a\nb", "true", "--prompt=", "++"}) {
    INFO(text);
    const Settings apart = parse(kDecode, {"-p", text, "end"});
    CHECK(apart.decode.prompt == text);
    CHECK(apart.operands == Words{"end"});
    const std::string joined = std::string("--prompt=") + text;
    const Settings together = parse(kDecode, {joined.c_str(), "end"});
    CHECK(together.decode.prompt == text);
    CHECK(together.has_prompt);
    CHECK(together.operands == Words{"end"});
  }
}

TEST_CASE("operands are taken as they are") {
  const Words odd = {"[a,b]", "{}", "++", "%%", "a b", "=x", "/o", "!"};
  std::vector<const char*> arguments;
  for (const std::string& operand : odd) arguments.push_back(operand.c_str());
  CHECK(parse(kSegment, arguments).operands == odd);
}

TEST_CASE("misuse is told with its subject") {
  CHECK(misuse(kSegment, {"--no-such"}) == "unknown option: '--no-such'");
  CHECK(misuse(kSegment, {"--no-such=3"}) == "unknown option: '--no-such'");
  CHECK(misuse(kSegment, {"-x"}) == "unknown option: '-x'");
  CHECK(misuse(kSegment, {"-qx"}) == "unknown option: '-x'");
  CHECK(misuse(kSegment, {"---"}) == "unknown option: '---'");
  CHECK(misuse(kSegment, {"--leve", "3"}) == "unknown option: '--leve'");
  CHECK(misuse(kSegment, {"--batch", "3"}) == "unknown option: '--batch'");
  CHECK(misuse(kSegment, {"-o"}) == "option needs a value: '--output'");
  CHECK(misuse(kSegment, {"a", "--level"}) == "option needs a value: '--level'");
  CHECK(misuse(kSegment, {"--quiet=3"}).starts_with("option takes no value: '--quiet'"));
  CHECK(misuse(kSegment, {"--quiet="}).starts_with("option takes no value: '--quiet'"));
  CHECK(misuse(kSegment, {""}).starts_with("empty operand"));
  CHECK(misuse(kSegment, {"--", ""}).starts_with("empty operand"));
  CHECK(misuse(kSegment, {"--output="}).starts_with("bad value of --output"));
  CHECK(misuse(kSegment, {"--level", "20"}).starts_with("bad value of --level: '20'"));
  CHECK(misuse(kSegment, {"--level", "x", "--level", "3"}).starts_with("bad value of --level: 'x'"));
  CHECK(misuse(kInspect, {"--segments", "3-1"}).find("3-1") != std::string::npos);
  CHECK(misuse(kInspect, {"--segments", "x"}).find("'x'") != std::string::npos);
}

TEST_CASE("help and version win over mistakes") {
  CHECK(parse(kSegment, {"--no-such", "-h"}).help);
  CHECK(parse(kSegment, {"-qh"}).help);
  CHECK(parse(kSegment, {"--level", "none", "", "--help"}).help);
  CHECK(parse(kSegment, {"-V", "-o"}).version);
  CHECK(parse(kSegment, {"-vV"}).verbose);
  CHECK_FALSE(parse(kSegment, {"--", "-h"}).help);
  CHECK_FALSE(parse(kSegment, {"-o", "-h"}).help);
}

TEST_CASE("options that affect bytes make the provenance, paths never") {
  CHECK(parse(kSegment, {"-m", "/model", "-o", "/out", "/text"}).stage_options ==
        Pairs{{"boundaries", "fixed"}, {"level", "1"}});
  CHECK(parse(kSegment, {"-l", "64", "--level", "2", "--level=3", "--replace-invalid", "--boundaries", "content", "--seed", "4"}).stage_options ==
        Pairs{{"replace_invalid", "true"}, {"boundaries", "content"}, {"segment_length", "64"}, {"level", "3"}});
  CHECK(parse(kCompress, {"-j", "4", "--batch", "3", "--cache-dir", "/cache", "--cache-size", "1M", "--device", "cpu", "--dtype", "bf16"}).stage_options ==
        Pairs{{"form", "kv"}, {"precision", "exact"}, {"dtype", "bf16"}, {"level", "1"}});
}
