#include "text/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/quote.h"
#include "text/pretoken_pattern.h"
#include "text/utf8.h"

namespace uio {
namespace {

constexpr std::uint32_t kMatchLimit = 100'000, kHeapLimitKib = 16u << 10, kDepthLimit = 10'000;

struct CodeDeleter {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct MatchDeleter {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};
struct ContextDeleter {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

double thread_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

const char* const kBytelevelPattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

bool is_known_pattern(std::string_view pattern) {
  return pattern == kBytelevelPattern ||
         pattern == R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)" ||
         pattern == R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
                    R"(\s*[\r\n]+|\s+(?!\S)|\s+)" ||
         pattern == R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
                    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
}

// A pattern made ready, or the string that is looked for.
struct Pretokenizer::Stage {
  Stage(SplitStage what, const std::string& pattern, bool known, const std::string& subject)
      : stage(std::move(what)), is_known(known), context(pcre2_match_context_create(nullptr)) {
    if (stage.kind == SplitStage::Kind::kString) return;
    int error = 0;
    std::size_t offset = 0;
    code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_UCP, &error,
                             &offset, nullptr));
    if (!code) {
      unsigned char reason[256] = {};
      pcre2_get_error_message(error, reason, sizeof reason);
      throw Error(ErrorKind::kData, "wrong tokenizer", subject,
                  "the pre-tokenizer's pattern " + quote(stage.pattern) + ": " + reinterpret_cast<const char*>(reason));
    }
    pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // where it cannot, the interpreter matches the same
    pcre2_set_match_limit(context.get(), known ? std::numeric_limits<std::uint32_t>::max() : kMatchLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimitKib);
    if (!known) pcre2_set_depth_limit(context.get(), kDepthLimit);
  }

  SplitStage stage;
  bool is_known;
  std::unique_ptr<pcre2_code, CodeDeleter> code;
  std::unique_ptr<pcre2_match_context, ContextDeleter> context;
};

// A walk over one text.
struct Pretokenizer::Run {
  std::string_view text;
  const Visit& visit;
  std::vector<std::unique_ptr<pcre2_match_data, MatchDeleter>> matches;  // per stage
  double deadline = 0;                                                   // of the thread's processor time; 0: not set yet
  unsigned searches = 0;

  // The next match at or after `from`; false if there is none. Not empty.
  bool find(const Stage& stage, std::size_t index, std::string_view part, std::size_t from,
            std::pair<std::size_t, std::size_t>& found, const std::string& subject) {
    if (!stage.code) {
      const std::size_t at = part.find(stage.stage.pattern, from);
      found = {at, at + stage.stage.pattern.size()};
      return at != std::string_view::npos;
    }
    while (from < part.size()) {
      if (!stage.is_known) check_time(subject);
      const std::uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | (stage.is_known ? 0 : PCRE2_ANCHORED);
      const int result = pcre2_match(stage.code.get(), reinterpret_cast<PCRE2_SPTR>(part.data()), part.size(), from, options,
                                     matches[index].get(), stage.context.get());
      if (result >= 0) {
        const std::size_t* ends = pcre2_get_ovector_pointer(matches[index].get());
        found = {ends[0], ends[1]};
        return true;
      }
      if (result != PCRE2_ERROR_NOMATCH) fail(result, subject);
      if (stage.is_known) return false;
      from += character_at(part, from).bytes;  // one place at a time, so that each has a limit
    }
    return false;
  }

  void check_time(const std::string& subject) {
    if (++searches % 16 != 1) return;
    const double now = thread_seconds();
    if (deadline == 0) deadline = now + 0.5 + 2e-6 * static_cast<double>(text.size());
    if (now > deadline) fail(PCRE2_ERROR_MATCHLIMIT, subject);
  }

  [[noreturn]] static void fail(int result, const std::string& subject) {
    unsigned char reason[256] = {};
    pcre2_get_error_message(result, reason, sizeof reason);
    throw Error(ErrorKind::kData, "cannot part the text into words", subject,
                std::string("the pre-tokenizer's pattern takes too long: ") + reinterpret_cast<const char*>(reason));
  }
};

Pretokenizer::Pretokenizer(const std::vector<SplitStage>& stages, const std::string& subject) : subject_(subject) {
  // Digits: the package asks another library, which knows Unicode 17.
  const std::string digits = "[" + category_items("N") + "\\x{11de0}-\\x{11de9}]";
  bool is_local = true;  // every stage before parts by neighbours alone
  for (const SplitStage& stage : stages) {
    const bool is_digits = stage.kind == SplitStage::Kind::kDigits, is_regex = stage.kind == SplitStage::Kind::kRegex;
    const bool is_known = is_digits || (is_regex && is_known_pattern(stage.pattern));
    const std::string pattern = is_digits ? digits : is_regex ? translate_pattern(stage.pattern, subject) : std::string();
    stages_.push_back(std::make_unique<Stage>(stage, pattern, is_known, subject));
    is_partable_ |= is_local && is_regex && is_known && stage.behavior == SplitBehavior::kIsolated;
    is_local &= is_digits;
  }
  const std::string classes = "([" + category_items("L") + "])|([" + category_items("N") + "])|([" + space_items() + "])";
  classes_ = std::make_unique<Stage>(SplitStage{}, classes, true, subject);
  for (char32_t c = 0; c < ascii_.size(); ++c) ascii_[c] = find_class(c);
}

Pretokenizer::~Pretokenizer() = default;

void Pretokenizer::part(std::string_view text, const Visit& visit) const {
  if (text.empty()) return;
  Run run{text, visit, {}};
  for (const auto& stage : stages_) {
    run.matches.emplace_back(stage->code ? pcre2_match_data_create(1, nullptr) : nullptr);
  }
  part_from(0, 0, text.size(), run);
}

// Parts text[begin, end) by `stage` and those after it.
void Pretokenizer::part_from(std::size_t index, std::size_t begin, std::size_t end, Run& run) const {
  if (index == stages_.size()) {
    run.visit(begin, end);
    return;
  }
  const Stage& stage = *stages_[index];
  const std::string_view part = run.text.substr(begin, end - begin);
  std::pair<std::size_t, std::size_t> found;
  if (stage.stage.behavior == SplitBehavior::kIsolated) {  // the common case keeps no list
    std::size_t done = 0;
    while (run.find(stage, index, part, done, found, subject_)) {
      if (done < found.first) part_from(index + 1, begin + done, begin + found.first, run);
      part_from(index + 1, begin + found.first, begin + found.second, run);
      done = found.second;
    }
    if (done < part.size()) part_from(index + 1, begin + done, end, run);
    return;
  }

  struct Piece {
    std::size_t begin, end;
    bool is_match;
  };
  std::vector<Piece> pieces;
  std::size_t done = 0;
  while (run.find(stage, index, part, done, found, subject_)) {
    if (done < found.first) pieces.push_back({done, found.first, stage.stage.is_inverted});
    pieces.push_back({found.first, found.second, !stage.stage.is_inverted});
    done = found.second;
  }
  if (done < part.size()) pieces.push_back({done, part.size(), stage.stage.is_inverted});

  // A match joins its neighbour unless that is itself a match; contiguous: pieces of one kind join.
  const SplitBehavior behavior = stage.stage.behavior;
  const bool is_backwards = behavior == SplitBehavior::kMergedWithNext;
  if (is_backwards) std::reverse(pieces.begin(), pieces.end());
  std::vector<Piece> joined;
  bool was_match = false;
  for (const Piece& piece : pieces) {
    const bool joins = behavior == SplitBehavior::kContiguous ? piece.is_match == was_match : piece.is_match && !was_match;
    if (joins && !joined.empty()) {
      joined.back() = {std::min(joined.back().begin, piece.begin), std::max(joined.back().end, piece.end), piece.is_match};
    } else {
      joined.push_back(piece);
    }
    was_match = piece.is_match;
  }
  if (is_backwards) std::reverse(joined.begin(), joined.end());
  for (const Piece& piece : joined) part_from(index + 1, begin + piece.begin, begin + piece.end, run);
}

Pretokenizer::Class Pretokenizer::class_of(char32_t c) const { return c < ascii_.size() ? ascii_[c] : find_class(c); }

Pretokenizer::Class Pretokenizer::find_class(char32_t c) const {
  const std::unique_ptr<pcre2_match_data, MatchDeleter> match(pcre2_match_data_create(4, nullptr));
  const std::string text = utf8_of(c);
  const int groups = pcre2_match(classes_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                                 PCRE2_NO_UTF_CHECK, match.get(), nullptr);
  return groups > 0 ? static_cast<Class>(groups - 1) : Class::kOther;
}

// In each of the known patterns: no match has a letter followed by anything but a letter, or a number followed by anything but
// a number, or another character followed by a space that is no line break; every character is in a match; and the only
// lookahead stands behind spaces. So the match that holds a ends with it, whether b or the end of the text follows.
bool Pretokenizer::may_part(char32_t a, char32_t b) const {
  if (!is_partable_) return false;
  const Class left = class_of(a), right = class_of(b);
  if (left == Class::kSpace) return false;
  if (left == Class::kOther) return right == Class::kSpace && b != '\r' && b != '\n';
  return left != right;
}

}  // namespace uio
