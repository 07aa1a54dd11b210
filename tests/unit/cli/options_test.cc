// The table itself: what every row must keep to.
#include "cli/options.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <set>

#include "cli/numbers.h"
#include "cli/parse.h"

using namespace uio::cli;

TEST_CASE("names are unique in a program") {
  for (const ProgramInfo& info : all_programs()) {
    std::set<std::string> names;
    for (const Option& option : all_options()) {
      if (!(option.programs & info.program)) continue;
      INFO(info.name << " --" << option.name);
      CHECK(names.insert(option.name).second);
      if (option.short_name) CHECK(names.insert(std::string(1, option.short_name)).second);
    }
  }
}

TEST_CASE("rows are complete and worded alike") {
  for (const Option& option : all_options()) {
    INFO("--" << option.name);
    const std::string name = option.name, help = option.help, manual = option.manual;
    CHECK(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") == std::string::npos);
    CHECK(name.size() > 1);
    CHECK_FALSE(help.empty());
    CHECK(help.back() != '.');
    CHECK_FALSE((help[0] >= 'A' && help[0] <= 'Z'));
    CHECK((option.category == Category::kHidden || !manual.empty()));
    CHECK((option.unused_by & ~option.programs) == 0);
    CHECK(option.store != nullptr);
    CHECK((option.completion == Completion::kChoices) == (option.choices[0] != 0));
    if (option.value == nullptr) {
      CHECK(option.completion == Completion::kNothing);
      CHECK(option.shown_default[0] == 0);
    }
  }
}

TEST_CASE("defaults and choices that are shown are taken") {
  for (const ProgramInfo& info : all_programs()) {
    for (const Option* option : options_of(info.program)) {
      auto values = split(option->choices, '|');
      if (option->shown_default[0]) values.push_back(option->shown_default);
      for (const std::string& value : values) {
        const std::string argument = std::string("--") + option->name + "=" + value;
        INFO(info.name << " " << argument);
        const char* arguments[] = {info.name, argument.c_str()};
        CHECK_NOTHROW(parse_arguments(info.program, 2, arguments));
      }
    }
  }
}

TEST_CASE("every program has the common options") {
  for (const ProgramInfo& info : all_programs()) {
    std::set<std::string> names;
    for (const Option* option : options_of(info.program)) names.insert(option->name);
    for (const char* name : {"model", "adapter", "device", "dtype", "threads", "seed", "output", "quiet", "verbose", "progress",
                             "force", "help", "version"}) {
      INFO(info.name << " --" << name);
      CHECK(names.contains(name));
    }
  }
}
