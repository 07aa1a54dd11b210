// The option table, put together from its rows, and what each program says about itself.
#include "cli/options.h"

#include <string>
#include <vector>

#include "cli/numbers.h"
#include "cli/option_rows.h"

namespace uio::cli {
int whole(const Given& given, int least, int most) {
  return static_cast<int>(
      parse_whole(given.option, given.text, static_cast<std::uint64_t>(least), static_cast<std::uint64_t>(most)));
}

const std::string& file_name(const Given& given) {
  if (given.text.empty())
    throw Error(ErrorKind::kUsage, "bad value of " + given.option, "", "expected the name of a file or directory");
  return given.text;
}

std::span<const Option> all_options() {
  static const std::vector<Option> rows = [] {
    std::vector<Option> all;
    for (const auto part : {training_rows(), score_rows(), task_rows(), common_rows()}) all.insert(all.end(), part.begin(), part.end());
    return all;
  }();
  return rows;
}

std::vector<const Option*> options_of(Program program) {
  std::vector<const Option*> rows;
  for (const Option& option : all_options())
    if ((option.programs & program) && option.category != Category::kHidden) rows.push_back(&option);
  return rows;
}

std::span<const ProgramInfo> all_programs() {
  static const ProgramInfo kPrograms[] = {
      {kSegment,
       "uio-segment",
       "[FILE]...",
       "cut text into segments of tokens",
       {{"uio-segment -m MODEL book.txt | uio-compress -m MODEL -o book.uio", "from a text to its memories"},
        {"uio-segment -m MODEL --lines -o lines.seg lines.txt", "each line a document"}}},
      {kCompress,
       "uio-compress",
       "[SEGMENTS]...",
       "compress segments into memories",
       {{"uio-segment -m MODEL book.txt | uio-compress -m MODEL -o book.uio", "from a text to its memories"},
        {"uio-compress -m MODEL -a ADAPTER -o book.uio book.seg", "from a file of segments, with another adapter"}}},
      {kDecode,
       "uio-decode",
       "[BLOB]...",
       "generate text from memories and a prompt",
       {{"uio-decode -m MODEL -p 'Who is Ahab?' book.uio", "ask a compressed book"},
        {"uio-decode -m MODEL -n 200 --temperature 0.8 --save next.uio <book.uio", "go on, and keep the grown memory"}}},
      {kScore,
       "uio-score",
       "[FILE]...",
       "measure how well text is predicted under different contexts",
       {{"uio-score -m MODEL --context none,memory,full book.txt", "what the memories are worth"},
        {"uio-score -m MODEL --verify book.uio book.txt", "is this blob what the text gives"}}},
      {kTrain,
       "uio-train-step",
       "[SEGMENTS]...",
       "train an adapter or a model, step by step",
       {{"uio-train-step -m MODEL --init adapter --state run.state --steps 1000 book.seg", "train, or go on where it stopped"},
        {"uio-train-step -m MODEL --state run.state --export ADAPTER book.seg", "one step more, and the adapter"},
        {"uio-train-step --list-estimators", "what each way to the gradient costs"}}},
      {kInspect,
       "uio-inspect",
       "[FILE]...",
       "show, check, cut and export streams of segments and memories",
       {{"uio-inspect book.uio | jq -c .segment", "one JSON line a record"},
        {"uio-inspect --verify book.uio", "status 0 if every byte is sound"},
        {"uio-inspect --cut --segments 0-9 -o start.uio book.uio", "the first ten segments"}}},
  };
  return kPrograms;
}

const ProgramInfo& info_of(Program program) {
  for (const ProgramInfo& info : all_programs())
    if (info.program == program) return info;
  throw Error(ErrorKind::kInternal, "unknown program", "", std::to_string(program));
}

}  // namespace uio::cli
