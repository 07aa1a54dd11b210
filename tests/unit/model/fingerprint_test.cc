// Fingerprints: what they tell apart, what they do not, and the cache that remembers them.
#include "model/fingerprint.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <thread>

#include "unit/model/tiny.h"

namespace uio {
namespace {

namespace fs = std::filesystem;
using test::Scratch;
using test::TinyModel;

std::string fingerprint(const std::string& directory, const std::string& cache = "", int threads = 1) {
  const Checkpoint checkpoint(directory);
  return model_fingerprint(checkpoint, read_model_config(directory), cache, threads);
}

bool is_hash(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

TEST_CASE("a fingerprint is of weights and configuration, not of files") {
  const TinyModel model;
  const std::string one = fingerprint(model.directory());
  CHECK(is_hash(one));
  CHECK(fingerprint(model.directory(), "", 4) == one);
  // Sharded, and with other bookkeeping.
  test::Tensors first, second;
  Json map = Json::object();
  for (const auto& [name, tensor] : model.weights) {
    const bool is_first = first.size() <= second.size();
    (is_first ? first : second)[name] = tensor;
    map[name] = is_first ? "a.safetensors" : "b.safetensors";
  }
  const Scratch sharded;
  test::write_tensors(sharded.path("a.safetensors"), first);
  test::write_tensors(sharded.path("b.safetensors"), second);
  sharded.write("model.safetensors.index.json", Json{{"weight_map", map}}.dump());
  Json config = model.config;
  config["transformers_version"] = "4.0";
  sharded.write("config.json", config.dump(2));
  CHECK(fingerprint(sharded.path(".")) == one);
  CHECK(Model(sharded.path("."), {}, "", 1).fingerprint() == one);
}

TEST_CASE("one bit of any weight is another model") {
  const TinyModel model;
  const std::string one = fingerprint(model.directory());
  std::set<std::string> seen = {one};
  const std::string bytes = model.scratch.read("model.safetensors");
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  const std::size_t begin = 8 + header, size = bytes.size() - begin;
  for (const std::size_t at : {std::size_t{0}, size / 3, size / 2, size - 1}) {
    std::string changed = bytes;
    changed[begin + at] = static_cast<char>(changed[begin + at] ^ 1);
    model.scratch.write("model.safetensors", changed);
    CHECK(seen.insert(fingerprint(model.directory())).second);
  }
  model.scratch.write("model.safetensors", bytes);
  CHECK(fingerprint(model.directory()) == one);
}

TEST_CASE("one value of the configuration is another model") {
  const TinyModel model;
  std::set<std::string> seen = {fingerprint(model.directory())};
  for (const Json& change :
       {Json{{"rope_theta", 10001.0}}, Json{{"rms_norm_eps", 1e-6}}, Json{{"max_position_embeddings", 128}},
        Json{{"model_type", "mistral"}}, Json{{"rope_scaling", {{"rope_type", "linear"}, {"factor", 2}}}}}) {
    model.scratch.write("config.json", test::tiny_config(change).dump());
    CHECK(seen.insert(fingerprint(model.directory())).second);
  }
  // What does not change the computation does not change the model.
  model.scratch.write("config.json", test::tiny_config({{"eos_token_id", {2, 9}}, {"use_cache", false}}).dump());
  CHECK(seen.count(fingerprint(model.directory())) == 1);
}

TEST_CASE("names, dtypes and shapes count, not only bytes") {
  const Scratch scratch;
  const auto of = [&](const test::Tensors& tensors) {
    test::write_tensors(scratch.path("t"), tensors);
    const SafetensorsFile file(scratch.path("t"));
    return fingerprint_of("x", file.tensors(), 1);
  };
  const at::Tensor zeros = at::zeros({4}, at::kFloat);
  std::set<std::string> seen;
  CHECK(seen.insert(of({{"a", zeros}})).second);
  CHECK(seen.insert(of({{"b", zeros}})).second);
  CHECK(seen.insert(of({{"a", zeros.view({2, 2})}})).second);
  CHECK(seen.insert(of({{"a", at::zeros({8}, at::kHalf)}})).second);
  CHECK(seen.insert(of({{"a", zeros}, {"b", at::zeros({0})}})).second);
  CHECK(seen.insert(of({})).second);
  test::write_tensors(scratch.path("t"), {{"a", zeros}});
  const SafetensorsFile file(scratch.path("t"));
  CHECK(seen.insert(fingerprint_of("y", file.tensors(), 1)).second);
  CHECK(fingerprint_of("y", file.tensors(), 1) == fingerprint_of("y", file.tensors(), 8));
}

TEST_CASE("a tied model's copy of the embedding does not count") {
  const TinyModel tied(Json{{"tie_word_embeddings", true}});
  const std::string one = fingerprint(tied.directory());
  test::Tensors with_copy = tied.weights;
  with_copy["lm_head.weight"] = with_copy.at("model.embed_tokens.weight");
  with_copy["model.layers.0.self_attn.rotary_emb.inv_freq"] = at::ones({5});
  test::write_tensors(tied.scratch.path("model.safetensors"), with_copy);
  CHECK(fingerprint(tied.directory()) == one);
}

// Files that are a minute old, as models are: younger ones might change within the clock's grain.
void age(const std::string& path) { fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::minutes(1)); }

std::vector<std::string> entries(const std::string& cache) {
  std::vector<std::string> found;
  if (!fs::exists(cache + "/fingerprints")) return found;
  for (const auto& entry : fs::directory_iterator(cache + "/fingerprints")) found.push_back(entry.path().string());
  return found;
}

TEST_CASE("the cache remembers, and forgets with the file") {
  const TinyModel model;
  const Scratch scratch;
  const std::string cache = scratch.path("cache"), weights = model.scratch.path("model.safetensors");
  age(weights);
  const std::string one = fingerprint(model.directory(), cache);
  CHECK(one == fingerprint(model.directory()));
  REQUIRE(entries(cache).size() == 1);

  // That it is read at all: an entry that says something else is believed.
  const std::string entry = entries(cache)[0], other(64, 'e');
  const auto write_entry = [&](const std::string& text) { std::ofstream(entry) << text; };
  write_entry(Json{{"fingerprint", other}}.dump());
  CHECK(fingerprint(model.directory(), cache) == other);

  SECTION("a damaged entry only costs the time to hash again, and is repaired") {
    for (const std::string text : {"", "{", "[]", "{}", R"({"fingerprint": 7})", R"({"fingerprint": "short"})",
                                   R"({"fingerprint": "EEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE"})"}) {
      INFO(text);
      write_entry(text);
      CHECK(fingerprint(model.directory(), cache) == one);
      CHECK(entries(cache).size() == 1);
      CHECK(fingerprint(model.directory(), cache) == one);
    }
  }
  SECTION("another modification time") {
    fs::last_write_time(weights, fs::last_write_time(weights) - std::chrono::seconds(1));
    CHECK(fingerprint(model.directory(), cache) == one);
    CHECK(entries(cache).size() == 2);
  }
  SECTION("another file of the same size and time") {
    const auto time = fs::last_write_time(weights);
    fs::copy_file(weights, weights + ".new");
    fs::rename(weights + ".new", weights);
    fs::last_write_time(weights, time);
    CHECK(fingerprint(model.directory(), cache) == one);
  }
  SECTION("another configuration") {
    model.scratch.write("config.json", test::tiny_config({{"rope_theta", 123.0}}).dump());
    CHECK(fingerprint(model.directory(), cache) == fingerprint(model.directory()));
    CHECK(fingerprint(model.directory(), cache) != other);
  }
  SECTION("the same files by another path") {
    fs::create_directory_symlink(fs::canonical(model.directory()), scratch.path("link"));
    CHECK(fingerprint(scratch.path("link"), cache) == other);
  }
}

TEST_CASE("a file that was just written is hashed every time") {
  const TinyModel model;
  const Scratch scratch;
  const std::string weights = model.scratch.path("model.safetensors");
  fs::last_write_time(weights, fs::file_time_type::clock::now() + std::chrono::seconds(30));  // now, however slow this test is
  fingerprint(model.directory(), scratch.path("cache"));
  CHECK(entries(scratch.path("cache")).empty());
}

TEST_CASE("a cache that cannot be written is no failure") {
  const TinyModel model;
  const Scratch scratch;
  age(model.scratch.path("model.safetensors"));
  const std::string one = fingerprint(model.directory());
  scratch.write("file", "not a folder");
  CHECK(fingerprint(model.directory(), scratch.path("file")) == one);
  CHECK(fingerprint(model.directory(), scratch.path("file") + "/deeper") == one);
  CHECK(fingerprint(model.directory(), "/proc/nobody/writes/here") == one);
  CHECK(fingerprint(model.directory(), "") == one);
}

}  // namespace
}  // namespace uio
