// Help, manual and completions out of the option table.
#include "cli/printers.h"

#include "base/version.h"
#include "cli/numbers.h"

namespace uio::cli {
namespace {

constexpr std::size_t kHelpColumn = 28;
constexpr std::size_t kHelpWidth = 80;

const char* heading_of(Category category) {
  switch (category) {
    case Category::kTask:
      return "what to do";
    case Category::kGradient:
      return "gradient";
    case Category::kOptimiser:
      return "optimiser";
    case Category::kFresh:
      return "weights made afresh";
    case Category::kModel:
      return "model";
    case Category::kOutput:
      return "output";
    case Category::kGeneral:
      return "manners";
    case Category::kHidden:
      break;
  }
  return "";
}

// "-m, --model DIR"
std::string left_column(const Option& option) {
  std::string text = option.short_name ? std::string("  -") + option.short_name + ", --" : "      --";
  text += option.name;
  if (option.value) text += std::string(" ") + option.value;
  return text;
}

// The help line with its choices and its default.
std::string right_column(const Option& option) {
  std::string text = option.help, more;
  if (option.choices[0] && std::string(option.name) != "device") more = option.choices;
  if (option.shown_default[0]) more += std::string(more.empty() ? "" : "; ") + "default: " + option.shown_default;
  if (!more.empty()) text += " (" + more + ")";
  return text;
}

void append_wrapped(std::string& text, std::size_t column, const std::string& words) {
  std::size_t used = column;
  bool is_first = true;
  for (std::string word : split(words, ' ')) {
    // A list of choices that is longer than a line goes on after one of its bars.
    for (std::size_t most = kHelpWidth - column; word.size() > most;) {
      const std::size_t bar = word.rfind('|', most - 1);
      if (bar == std::string::npos) break;
      if (!is_first) text += "\n" + std::string(column, ' ');
      text += word.substr(0, bar + 1);
      word.erase(0, bar + 1);
      text += "\n" + std::string(column, ' ');
      used = column;
      is_first = true;
    }
    if (!is_first && used + 1 + word.size() > kHelpWidth) {
      text += "\n" + std::string(column, ' ');
      used = column;
    } else if (!is_first) {
      text += ' ';
      ++used;
    }
    text += word;
    used += word.size();
    is_first = false;
  }
  text += '\n';
}

bool is_unused(const Option& option, Program program) { return (option.unused_by & program) != 0; }

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
  return text;
}

// Within single quotes of bash and zsh; fish has backslashes inside quotes.
std::string shell_quoted(const std::string& text) { return "'" + replaced(text, "'", "'\\''") + "'"; }
std::string fish_quoted(const std::string& text) { return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'"; }

std::string spaced(const char* choices) { return replaced(choices, "|", " "); }

std::string made_by(const char* shell) {
  return std::string("# ") + shell +
         " completion for the uio programs, made from their option table: uio-inspect --generate=" + shell + "\n";
}

}  // namespace

std::string help_text(Program program) {
  const ProgramInfo& info = info_of(program);
  std::string text = std::string(info.name) + ": " + info.summary + "\n\n";
  for (const Example& example : info.examples)
    text += std::string("  ") + example.command + "\n      " + example.meaning + "\n";
  text += std::string("\nusage: ") + info.name + " [OPTION]... " + info.operands + "\n";
  text += "Without operands, or for the operand -, standard input is read.\n";

  std::string unused;
  for (const Category category : {Category::kTask, Category::kGradient, Category::kOptimiser, Category::kFresh,
                                  Category::kModel, Category::kOutput, Category::kGeneral}) {
    bool has_heading = false;
    for (const Option* option : options_of(program)) {
      if (option->category != category) continue;
      if (is_unused(*option, program)) {
        unused += std::string(unused.empty() ? "" : ", ") +
                  (option->short_name ? std::string("-") + option->short_name + "/" : "") + "--" + option->name;
        continue;
      }
      if (!has_heading) text += std::string("\n") + heading_of(category) + ":\n";
      has_heading = true;
      const std::string left = left_column(*option);
      text += left;
      if (left.size() + 2 > kHelpColumn) {
        text += "\n" + std::string(kHelpColumn, ' ');
      } else {
        text += std::string(kHelpColumn - left.size(), ' ');
      }
      append_wrapped(text, kHelpColumn, right_column(*option));
    }
  }
  if (!unused.empty()) {
    text += "\n";
    append_wrapped(text, 0, "Accepted and not used, so that one set of options serves a whole pipeline: " + unused + ".");
  }
  text += std::string("\nExit status: 0 done, 1 the answer is no or some inputs failed, 2 misuse,\n") +
          "3 damaged data, 4 mismatch, 5 read or write failure, 6 device or memory,\n70 a bug of ours. Manual: man " +
          info.name + ", man 7 uio.\n";
  return text;
}

std::string version_text(Program program) {
  std::string text = std::string(info_of(program).name) + " " + kVersion + "\n";
#if defined(__clang__)
  text += "compiler: clang " __clang_version__ "\n";
#elif defined(__GNUC__)
  text += "compiler: g++ " __VERSION__ "\n";
#endif
  text += "licence: Apache-2.0\n";
  return text;
}

std::string manual_options(Program program) {
  std::string text = ".Bl -tag -width Ds\n", unused;
  for (const Option* option : options_of(program)) {
    std::string names = option->short_name ? std::string("Fl ") + option->short_name : "";
    const std::string long_name = std::string("Fl \\-") + replaced(option->name, "-", "\\-");
    if (is_unused(*option, program)) {
      for (const std::string& name : {names, long_name})
        if (!name.empty()) unused += "." + name + " ,\n";
      continue;
    }
    names += (names.empty() ? "" : " , ") + long_name;
    text += ".It " + names + (option->value ? std::string(" Ar ") + option->value : "") + "\n" + option->manual + "\n";
    if (option->shown_default[0])
      text += std::string("The default is\n.Cm ") + replaced(option->shown_default, "-", "\\-") + " .\n";
  }
  text += ".El\n";
  if (!unused.empty()) {
    unused.replace(unused.size() - 3, 3, "\n");  // the last comma
    text += ".Pp\nSo that one set of options serves a whole pipeline, these are accepted and not used:\n" + unused;
    text.insert(text.size() - 1, " .");
  }
  return text;
}

std::string bash_completion() {
  std::string text = made_by("bash") + R"(
# Sets `current`, the word to complete, and `option`, the word before it that may want it as its value.
_uio_where() {
  local before=$((COMP_CWORD - 1))
  current=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[before]}
  if [[ $current == = ]]; then
    current=
  elif [[ $option == = && $before -gt 1 ]]; then
    option=${COMP_WORDS[before - 1]}
  fi
}

_uio_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$current"); }

_uio_list() {
  local head=
  [[ $current != *,* ]] || head=${current%,*},
  mapfile -t COMPREPLY < <(compgen -P "$head" -W "$1" -- "${current##*,}")
}

_uio_files() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -- "$current")
}

_uio_directories() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -d -- "$current")
}

_uio_operand() {
  local word
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word != -- ]] || { _uio_files; return; }
  done
  if [[ $current == -* ]]; then _uio_words "$1"; else _uio_files; fi
}
)";
  for (const ProgramInfo& info : all_programs()) {
    std::string words, nothing;
    text +=
        std::string("\n_") + replaced(info.name, "-", "_") + "() {\n  local current option\n  _uio_where\n  case $option in\n";
    for (const Option* option : options_of(info.program)) {
      const std::string long_name = std::string("--") + option->name;
      std::string both = long_name;
      if (option->short_name) {
        const std::string short_name = std::string("-") + option->short_name;
        words += short_name + " ";
        both = short_name + " | " + long_name;
      }
      words += long_name + " ";
      if (!option->value) continue;
      switch (option->completion) {
        case Completion::kNothing:
          nothing += (nothing.empty() ? "" : " | ") + both;
          break;
        case Completion::kFile:
          text += "    " + both + ") _uio_files ;;\n";
          break;
        case Completion::kDirectory:
          text += "    " + both + ") _uio_directories ;;\n";
          break;
        case Completion::kChoices:
          text += "    " + both + ") " + (std::string(option->value) == "LIST" ? "_uio_list '" : "_uio_words '") +
                  spaced(option->choices) + "' ;;\n";
          break;
      }
    }
    if (!nothing.empty()) text += "    " + nothing + ") COMPREPLY=() ;;\n";
    words.pop_back();
    text += "    *) _uio_operand '" + words + "' ;;\n  esac\n}\ncomplete -F _" + replaced(info.name, "-", "_") + " " +
            info.name + "\n";
  }
  return text;
}

std::string zsh_completion() {
  std::string text = "#compdef";
  for (const ProgramInfo& info : all_programs()) text += std::string(" ") + info.name;
  text += "\n" + made_by("zsh") + "\nlocal -a options\ncase $service in\n";
  for (const ProgramInfo& info : all_programs()) {
    text += std::string("  ") + info.name + ")\n    options=(\n";
    for (const Option* option : options_of(info.program)) {
      const std::string long_name = std::string("--") + option->name;
      const std::string explanation = "[" + replaced(replaced(option->help, "[", "\\["), "]", "\\]") + "]";
      std::string action;
      if (option->value) {
        action = std::string(":") + option->value + ":";
        switch (option->completion) {
          case Completion::kNothing:
            action += " ";
            break;
          case Completion::kFile:
            action += "_files";
            break;
          case Completion::kDirectory:
            action += "_directories";
            break;
          case Completion::kChoices:
            action += std::string(option->value) == "LIST" ? "_sequence compadd - " + spaced(option->choices)
                                                           : "(" + spaced(option->choices) + ")";
            break;
        }
      }
      const std::string tail = shell_quoted(explanation + action);
      if (option->short_name) {
        const std::string short_name = std::string("-") + option->short_name;
        const std::string excluded = option->repeats ? "*" : "(" + short_name + " " + long_name + ")";
        text += "      '" + excluded + "'{" + short_name + (option->value ? "+," + long_name + "=" : "," + long_name) + "}" +
                tail + "\n";
      } else {
        text += "      " +
                shell_quoted((option->repeats ? "*" : "") + long_name + (option->value ? "=" : "") + explanation + action) +
                "\n";
      }
    }
    text += "    )\n    ;;\n";
  }
  text += "esac\n_arguments -s -S $options '*:operand:_files'\n";
  return text;
}

std::string fish_completion() {
  std::string text = made_by("fish");
  for (const ProgramInfo& info : all_programs()) {
    text += "\n";
    for (const Option* option : options_of(info.program)) {
      text += std::string("complete -c ") + info.name;
      if (option->short_name) text += std::string(" -s ") + option->short_name;
      text += std::string(" -l ") + option->name;
      if (option->value) {
        switch (option->completion) {
          case Completion::kNothing:
            text += " -x";
            break;
          case Completion::kFile:
            text += " -r -F";
            break;
          case Completion::kDirectory:
            text += " -x -a '(__fish_complete_directories)'";
            break;
          case Completion::kChoices:
            text += " -x -a " + fish_quoted(spaced(option->choices));
            break;
        }
      }
      text += " -d " + fish_quoted(option->help) + "\n";
    }
  }
  return text;
}

}  // namespace uio::cli
