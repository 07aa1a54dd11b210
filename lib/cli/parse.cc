// CLI11 finds out which text belongs to which option; what the texts mean is the table's business. Its conversions, reductions
// and messages are left aside: it splits "[a,b]", swallows "{}" and words things its own way.
#include "cli/parse.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <utility>

namespace uio::cli {
namespace {

// CLI11 takes `--name=` for a value that is still to come. Marked, the empty value is one; the mark is taken off every result.
const std::string kEmptyMark = "\x01uio-empty\x01";

std::string without_mark(std::string text) {
  if (text.ends_with(kEmptyMark)) text.resize(text.size() - kEmptyMark.size());
  return text;
}

struct Bound {
  const Option* row;
  CLI::Option* option;
};

std::vector<Bound> bind(CLI::App& app, Program program) {
  std::vector<Bound> bound;
  for (const Option& row : all_options()) {
    if (!(row.programs & program)) continue;
    std::string names = std::string("--") + row.name;
    if (row.short_name) names = std::string("-") + row.short_name + "," + names;
    CLI::Option* option = row.value ? app.add_option(names)->expected(1) : app.add_flag(names);
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);  // the results are read raw, below
    bound.push_back({&row, option});
  }
  return bound;
}

// Operands are what CLI11 could not place. It keeps the first `--` among them: before it, a dash marks an unknown option.
std::vector<std::string> operands_of(const CLI::App& app) {
  std::vector<std::string> operands;
  bool only_operands = false;
  for (std::string& found : app.remaining()) {
    std::string text = without_mark(std::move(found));
    if (!only_operands && text == "--") {
      only_operands = true;
    } else if (!only_operands && text.size() > 1 && text[0] == '-') {
      throw Error(ErrorKind::kUsage, "unknown option", text.substr(0, text.find('=')), "");
    } else if (text.empty()) {
      throw Error(ErrorKind::kUsage, "empty operand", "", "expected the name of a file, or - for standard input");
    } else {
      operands.push_back(std::move(text));
    }
  }
  return operands;
}

void store(Settings& settings, const Option& row, const std::string& result) {
  const std::string name = std::string("--") + row.name;
  if (row.value == nullptr && result != "true")
    throw Error(ErrorKind::kUsage, "option takes no value", name, "found " + without_mark(result));
  row.store(settings, {name, without_mark(result), row.choices});
}

}  // namespace

Settings parse_arguments(Program program, int argc, const char* const* argv) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  const std::vector<Bound> bound = bind(app, program);

  std::vector<std::string> arguments;
  for (int i = argc - 1; i > 0; --i) {  // CLI11 reads its vector from the back
    arguments.emplace_back(argv[i]);
    if (arguments.back().starts_with("--") && arguments.back().ends_with('=')) arguments.back() += kEmptyMark;
  }

  std::string missing;  // the option at the very end whose value is missing
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    missing = error.what();
    missing.resize(std::min(missing.size(), missing.find_first_of(": ")));
  }

  Settings settings;
  for (const auto& [row, option] : bound) {
    if (option->count() == 0) continue;
    const std::string name = row->name;
    if (name == "help") settings.help = true;
    if (name == "version") settings.version = true;
    if (name == "verbose") settings.verbose = true;
  }
  if (settings.help || settings.version) return settings;
  if (!missing.empty()) throw Error(ErrorKind::kUsage, "option needs a value", missing, "");

  settings.operands = operands_of(app);
  // In the order of the command line, so that the last one wins, also between two rows that set the same thing (a prompt).
  std::map<const CLI::Option*, std::size_t> done;
  for (const CLI::Option* parsed : app.parse_order()) {
    for (const Bound& one : bound)
      if (one.option == parsed) store(settings, *one.row, parsed->results()[done[parsed]++]);
  }
  for (const auto& [row, option] : bound) {
    if (option->count() > 0) settings.given.insert(row->name);
    if (!row->affects_bytes || (row->unused_by & program)) continue;
    std::string name = row->name;  // as a key of JSON, where it is shown
    std::replace(name.begin(), name.end(), '-', '_');
    const auto& results = option->results();
    if (results.empty()) {
      if (row->shown_default[0]) settings.stage_options.emplace_back(name, row->shown_default);
    } else {
      for (std::size_t i = row->repeats ? 0 : results.size() - 1; i < results.size(); ++i)
        settings.stage_options.emplace_back(name, without_mark(results[i]));
    }
  }
  return settings;
}

}  // namespace uio::cli
