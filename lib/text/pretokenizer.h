// The parts of a text that merges do not reach over: words, mostly.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace uio {

// What becomes of the matches of a stage's pattern, in the words of tokenizer.json.
enum class SplitBehavior { kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// One stage works on the parts that the stage before it made.
struct SplitStage {
  enum class Kind { kRegex, kString, kDigits } kind = Kind::kRegex;
  std::string pattern;  // as in the file; none for digits
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool is_inverted = false;
};

// GPT-2's pattern, which a ByteLevel stage of its own brings along.
extern const char* const kBytelevelPattern;
// True for the patterns of GPT-2, Llama-3 and Qwen2, which match every character and run in time that is linear in the text.
bool is_known_pattern(std::string_view pattern);

// Immutable; safe to share between threads.
class Pretokenizer {
 public:
  // Throws as translate_pattern does.
  Pretokenizer(const std::vector<SplitStage>& stages, const std::string& subject);
  ~Pretokenizer();

  // Calls visit(begin, end) for each part, in order; none is empty. `text` is valid UTF-8. Throws Error{kData} where a pattern
  // takes too long (a matching limit, and processor time of 0.5 s and 2 us a byte); patterns that are known cannot.
  using Visit = std::function<void(std::size_t begin, std::size_t end)>;
  void part(std::string_view text, const Visit& visit) const;

  // True if there is an end of a part between neighbours a and b of any text, and the parts on each side are those of that side
  // alone. Never where the pattern is not known.
  bool may_part(char32_t a, char32_t b) const;

 private:
  struct Stage;
  struct Run;
  enum class Class : std::uint8_t { kOther, kLetter, kNumber, kSpace };

  void part_from(std::size_t stage, std::size_t begin, std::size_t end, Run& run) const;
  Class class_of(char32_t c) const;
  Class find_class(char32_t c) const;

  std::string subject_;
  std::vector<std::unique_ptr<Stage>> stages_;
  std::unique_ptr<Stage> classes_;
  bool is_partable_ = false;
  std::array<Class, 128> ascii_{};
};

}  // namespace uio
