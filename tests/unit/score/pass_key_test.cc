// The text around a pass key, and both ways to count an answer.
#include "score/pass_key.h"

#include <catch2/catch.hpp>

#include "unit/io/source_tree.h"

namespace uio {
namespace {

TEST_CASE("five lines, the last of them the question") {
  const PassKey text{100, 3, 417};
  CHECK(text.context() + PassKey::question() ==
        "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you about the important information there.\n"
        "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. The grass \n"
        "The pass key is 417. Remember it. 417 is the pass key.\n"
        "The\n"
        "What is the pass key? The pass key is");
  CHECK(PassKey{0, 0, 1}.context().ends_with("there.\n\nThe pass key is 1. Remember it. 1 is the pass key.\n\n"));
}

TEST_CASE("the first number of an answer") {
  CHECK(has_first_number(" 417.", 417));
  CHECK(has_first_number("417 is 9", 417));
  CHECK(has_first_number("the key417key", 417));
  CHECK(!has_first_number(" 4170", 417));
  CHECK(!has_first_number(" 41 7", 417));
  CHECK(!has_first_number("no. 1: 417", 417));
  CHECK(!has_first_number("", 417));
  CHECK(!has_first_number("none", 417));
}

TEST_CASE("as many characters as make a prompt of so many tokens") {
  const auto tokenizer = load_tokenizer(test::source_path("examples/model"));
  for (const std::uint64_t tokens : {150u, 500u, 5000u, 40000u}) {
    const std::uint64_t characters = characters_of(*tokenizer, tokens);
    for (const std::uint64_t before : {std::uint64_t{0}, characters / 3, characters / 2, characters}) {
      const auto count = ids_of_text(*tokenizer, PassKey{before, characters - before, 31999}.context() + PassKey::question()).size();
      INFO(tokens << " " << characters << " " << before);
      CHECK(count <= tokens + 4);
      CHECK(count + 8 >= tokens);
    }
  }
  CHECK(characters_of(*tokenizer, 10) == 0);
}

TEST_CASE("the ids of a key are those that follow the question") {
  for (const char* model : {"examples/model", "tests/golden/text/byte-bpe-llama3"}) {
    const auto tokenizer = load_tokenizer(test::source_path(model));
    for (const std::uint32_t key : {7u, 48213u}) {
      const std::string prompt = PassKey{200, 100, key}.context() + PassKey::question();
      std::vector<std::int32_t> joined = ids_of_text(*tokenizer, prompt);
      const std::vector<std::int32_t> whole = ids_of_text(*tokenizer, prompt + " " + std::to_string(key)), ids = ids_of_key(*tokenizer, key);
      joined.insert(joined.end(), ids.begin(), ids.end());
      CHECK(joined == whole);
    }
  }
}

}  // namespace
}  // namespace uio
