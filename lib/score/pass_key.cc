#include "score/pass_key.h"

#include <algorithm>

namespace uio {
namespace {

const std::string kTask =
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you about the important information there.";
const std::string kSentences = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

// The first `count` characters of the sentences, over and over, a space between.
std::string repeated(std::uint64_t count) {
  std::string text;
  text.reserve(count);
  while (text.size() < count) text += kSentences + " ";
  text.resize(count);
  return text;
}

}  // namespace

std::string PassKey::context() const {
  const std::string number = std::to_string(key);
  return kTask + "\n" + repeated(before) + "\nThe pass key is " + number + ". Remember it. " + number + " is the pass key.\n" + repeated(after) + "\n";
}

const std::string& PassKey::question() {
  static const std::string kQuestion = "What is the pass key? The pass key is";
  return kQuestion;
}

std::vector<std::int32_t> ids_of_text(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<std::int32_t> ids;
  if (tokenizer.bos() >= 0) ids.push_back(tokenizer.bos());
  for (const Token& token : tokenizer.encode(text)) ids.push_back(token.id);
  return ids;
}

std::vector<std::int32_t> ids_of_key(const Tokenizer& tokenizer, std::uint32_t key) {
  std::vector<std::int32_t> ids;
  for (const Token& token : tokenizer.encode((tokenizer.has_prefix_space() ? "" : " ") + std::to_string(key))) ids.push_back(token.id);
  return ids;
}

std::uint64_t characters_of(const Tokenizer& tokenizer, std::uint64_t tokens) {
  constexpr std::uint64_t kPeriods = 64;
  // The longest key; the sentences in two pieces, as they mostly are.
  const auto count = [&](std::uint64_t characters) -> std::uint64_t {
    const PassKey sample{characters / 2, characters - characters / 2, 48213};
    return ids_of_text(tokenizer, sample.context() + PassKey::question()).size();
  };
  const std::uint64_t size = kPeriods * (kSentences.size() + 1), least = count(0), more = count(size) - least;
  if (tokens <= least) return 0;
  // Nearly a straight line: what is missing or too much tells how far to go.
  std::uint64_t characters = (tokens - least) * size / more;
  for (int i = 0; i < 3; ++i)
    if (const std::uint64_t found = count(characters); found < tokens) characters += (tokens - found) * size / more;
  for (std::uint64_t found; characters > 0 && (found = count(characters)) > tokens;) characters -= std::min(characters, (found - tokens) * size / more + 1);
  return characters;
}

bool has_first_number(const std::string& text, std::uint32_t key) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto begin = std::find_if(text.begin(), text.end(), is_digit), end = std::find_if_not(begin, text.end(), is_digit);
  return std::string(begin, end) == std::to_string(key);
}

}  // namespace uio
