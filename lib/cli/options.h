// The one table of options. Parsing, --help, the OPTIONS sections of the manual and the three completion files are all made
// from it (parse.h, printers.h), so that they cannot disagree.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/settings.h"

namespace uio::cli {

// One bit a program, so that a row of the table can name several.
enum Program : unsigned { kSegment = 1, kCompress = 2, kDecode = 4, kScore = 8, kInspect = 16, kTrain = 32 };
inline constexpr unsigned kAllPrograms = kSegment | kCompress | kDecode | kScore | kInspect | kTrain;
inline constexpr unsigned kTensorPrograms = kCompress | kDecode | kScore | kTrain;

// What a shell offers for a value.
enum class Completion { kNothing, kFile, kDirectory, kChoices };

// Headings of --help, in this order. Hidden rows are parsed and shown nowhere.
enum class Category { kTask, kGradient, kOptimiser, kFresh, kModel, kOutput, kGeneral, kHidden };

// One value found on the command line.
struct Given {
  std::string option;  // "--batch", for messages
  std::string text;
  const char* choices;  // of the row
};

struct Option {
  unsigned programs;       // which have it
  unsigned unused_by = 0;  // which take it only so that one set of options serves a whole pipeline
  Category category;
  char short_name = 0;             // 0: none
  const char* name;                // long name, without dashes
  const char* value = nullptr;     // name of its value; nullptr: a flag
  const char* choices = "";        // "a|b|c" to offer and to check; "" when there is no list
  const char* shown_default = "";  // "" when there is none to show
  Completion completion = Completion::kNothing;
  bool repeats = false;        // every repetition counts; otherwise the last one wins
  bool affects_bytes = false;  // part of the provenance of what is written
  const char* help;            // one line: lower case, no full stop
  const char* manual;          // what the man page says, mdoc
  void (*store)(Settings&, const Given&);
};

// Every option, in the order in which it is shown.
std::span<const Option> all_options();
// The visible ones that `program` has.
std::vector<const Option*> options_of(Program program);

struct Example {
  const char* command;
  const char* meaning;
};

// What --help and the completions say about a program beside its options.
struct ProgramInfo {
  Program program;
  const char* name;      // constant: never argv[0]
  const char* operands;  // as in the synopsis
  const char* summary;
  std::vector<Example> examples;
};

std::span<const ProgramInfo> all_programs();
const ProgramInfo& info_of(Program program);

}  // namespace uio::cli
