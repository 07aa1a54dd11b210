#include "cli/printers.h"

#include <catch2/catch.hpp>

#include "base/version.h"

using namespace uio::cli;

TEST_CASE("the version's first line ends in the version") {
  for (const ProgramInfo& info : all_programs())
    CHECK(version_text(info.program).starts_with(std::string(info.name) + " " + uio::kVersion + "\n"));
}

TEST_CASE("help shows every option with its short name and its default") {
  const std::string help = help_text(kDecode);
  CHECK(help.find("  -n, --max-tokens N") != std::string::npos);
  CHECK(help.find("(default: 128)") != std::string::npos);
  CHECK(help.find("      --temperature X") != std::string::npos);
  CHECK(help.find("generate") < help.find("usage:"));
  for (const ProgramInfo& info : all_programs()) {
    const std::string text = help_text(info.program);
    for (const Option* option : options_of(info.program))
      CHECK(text.find(std::string("--") + option->name) != std::string::npos);
  }
}

TEST_CASE("options that a program does not use are listed apart") {
  const std::string help = help_text(kInspect);
  CHECK(help.find("  -m, --model") == std::string::npos);
  CHECK(help.find("-m/--model") > help.find("Accepted and not used"));
  const std::string manual = manual_options(kInspect);
  CHECK(manual.find(".It Fl m") == std::string::npos);
  CHECK(manual.find(".Fl m ,\n") > manual.find(".El"));
}

TEST_CASE("manual escapes dashes and states defaults") {
  const std::string manual = manual_options(kDecode);
  CHECK(manual.find(".It Fl n , Fl \\-max\\-tokens Ar N\n") != std::string::npos);
  CHECK(manual.find("The default is\n.Cm 128 .\n") != std::string::npos);
}

TEST_CASE("completions name every program, and never the hidden option") {
  for (const std::string& text : {bash_completion(), zsh_completion(), fish_completion()}) {
    for (const ProgramInfo& info : all_programs()) CHECK(text.find(info.name) != std::string::npos);
    CHECK(text.find("generate=") == text.rfind("generate="));  // in the comment that says where the file comes from
  }
}
