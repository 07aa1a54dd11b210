// Which options of uio-score go with which task.
#include "cli/scoring.h"

#include <catch2/catch.hpp>

#include "base/error.h"
#include "cli/options.h"
#include "cli/parse.h"

using namespace uio;
using namespace uio::cli;

namespace {

Settings parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "anything");
  return parse_arguments(kScore, static_cast<int>(arguments.size()), arguments.data());
}

std::string refusal(const std::vector<const char*>& arguments) {
  try {
    check_scoring(parse(arguments));
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kUsage);
    return error.what();
  }
  return "taken";
}

}  // namespace

TEST_CASE("every option of a task lands in its field") {
  const ScoreJob job = parse({"--task", "passkey", "--lengths", "1K,300", "--unit", "characters", "--samples", "7", "--documents-in-memory", "1,8", "--seed", "3"}).score;
  CHECK(job.task == "passkey");
  CHECK(job.lengths == std::vector<std::uint64_t>{1024, 300});
  CHECK(job.has_characters);
  CHECK(job.samples == 7);
  CHECK(job.documents_in_memory == std::vector<std::uint32_t>{1, 8});
  CHECK(ScoreJob().task == "perplexity");
  CHECK(ScoreJob().contexts.empty());
}

TEST_CASE("options of other tasks, and operands of tasks that make their documents") {
  CHECK(refusal({"--last", "5", "--per-token", "--lines", "book.txt"}) == "taken");
  CHECK(refusal({"--task", "lookup", "--lengths", "512", "--samples", "2", "--context", "memory", "--precision", "int8"}) == "taken");
  CHECK(refusal({"--task", "focus", "--documents-in-memory", "2", "--samples", "9", "--jsonl", "books"}) == "taken");
  CHECK(refusal({"--task", "passkey", "book.txt"}) == "operand with --task passkey: 'book.txt': the task makes its documents");
  CHECK(refusal({"--task", "lookup", "-"}).starts_with("operand with --task lookup"));
  CHECK(refusal({"--lengths", "512"}) == "--lengths with --task perplexity: it is an option of lookup|passkey");
  CHECK(refusal({"--task", "focus", "--context", "none"}) == "--context with --task focus: it is an option of perplexity|lookup|passkey");
  CHECK(refusal({"--task", "lookup", "--unit", "tokens"}).starts_with("--unit with --task lookup"));
  CHECK(refusal({"--task", "passkey", "--documents-in-memory", "2"}).starts_with("--documents-in-memory with"));
}

TEST_CASE("which tasks read") {
  for (const char* task : {"perplexity", "focus"}) CHECK_FALSE(makes_documents(parse({"--task", task}).score));
  for (const char* task : {"lookup", "passkey"}) CHECK(makes_documents(parse({"--task", task}).score));
}
