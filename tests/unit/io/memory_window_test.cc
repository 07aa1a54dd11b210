// What config.json says of windows and tails, and which method a choice means.
#include "io/memory_window.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/error.h"
#include "unit/io/scratch.h"

namespace uio {
namespace {

// Status of what reading it throws; 0: none.
int status_of(const test::Scratch& scratch, std::uint32_t length = 0) {
  try {
    read_memory_window(scratch.path("."), length);
    return 0;
  } catch (const Error& error) {
    return error.status();
  }
}

TEST_CASE("windows and tails") {
  const test::Scratch scratch;
  const auto window = [&](const std::string& json, std::uint32_t length = 0) {
    scratch.write("config.json", json);
    const MemoryWindow found = read_memory_window(scratch.path("."), length);
    return std::pair(found.length, found.tail);
  };
  using Pair = std::pair<std::uint32_t, std::uint32_t>;
  CHECK(window(R"({"max_position_embeddings": 2048, "last_context_length": 1500})") == Pair(2048, 1500));
  CHECK(window(R"({"max_position_embeddings": 2048, "last_context_length": 1500})", 100) == Pair(100, 100));
  CHECK(window(R"({"max_position_embeddings": 64, "last_context_length": 64})") == Pair(64, 64));
  CHECK(window(R"({"max_position_embeddings": 4096})") == Pair(4096, 1024));
  CHECK(window(R"({"max_position_embeddings": 64, "last_context_length": null})") == Pair(64, 32));
  CHECK(window(R"({"max_position_embeddings": 1})") == Pair(1, 1));
  CHECK(window(R"({"max_position_embeddings": 131072})") == Pair(65535, 1024));
  CHECK(status_of(scratch, 65536) == 4);
  for (const char* json : {"{}", "[]", R"({"max_position_embeddings": 0})", R"({"max_position_embeddings": -4})", R"({"max_position_embeddings": 6.5})",
                           R"({"max_position_embeddings": 8, "last_context_length": 0})", R"({"max_position_embeddings": 8, "last_context_length": "4"})"}) {
    INFO(json);
    scratch.write("config.json", json);
    CHECK(status_of(scratch) == 3);
  }
  scratch.write("config.json", R"({"max_position_embeddings": 8, "last_context_length": 9})");
  CHECK(status_of(scratch) == 4);
  scratch.write("config.json", R"({"max_position_embeddings": 8})");
  CHECK(status_of(scratch, 9) == 4);
}

TEST_CASE("the method: as asked for, memory layers named, an adapter named, memory layers of the model") {
  const test::Scratch scratch;
  ModelChoice choice;
  choice.model = scratch.path(".");
  CHECK(choose_method(choice).empty());
  scratch.write("config.json", R"({"mem_layers": []})");
  CHECK(choose_method(choice).empty());
  choice.memory_layers = {1};
  CHECK(choose_method(choice) == "fot");
  choice.memory_layers = {};
  scratch.write("config.json", R"({"mem_layers": [1]})");
  CHECK(choose_method(choice) == "fot");
  choice.method = "uio";
  CHECK(choose_method(choice) == "uio");
  choice.method = "";
  choice.adapter = "fresh";
  CHECK(choose_method(choice).empty());
  choice.adapter = "";
  std::filesystem::create_directory(scratch.path("adapter"));
  CHECK(choose_method(choice) == "fot");
  scratch.write("config.json", "{}");
  CHECK(choose_method(choice).empty());
  choice.method = "fot";
  CHECK(choose_method(choice) == "fot");
}

}  // namespace
}  // namespace uio
